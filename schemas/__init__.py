"""Bytes: what is on a wire or at rest. Reads and writes `processors` types; knows no broker and no store."""
