"""The console: its pages as data, its HTTP, and a real browser in front of it."""
