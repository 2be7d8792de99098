"""Plain-text scenarios: given, when, then. README.md says the language."""
