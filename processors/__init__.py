"""The core: pure functions over immutable data. No I/O, no clock, no sentences: rules yield codes and numbers."""
