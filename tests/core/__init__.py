"""The core alone: no bytes, no servers, no clock."""
