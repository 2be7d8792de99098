"""The running system: threads, sockets, signals, argv. Stands leftmost: `streams -> sinks -> schemas -> processors`."""

__version__ = "0.1.0"
