"""The tests, by what they need: core and wire nothing, live and chaos real servers."""
