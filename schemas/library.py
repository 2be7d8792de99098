"""The schemas on disk: the newest of each topic, all released ones, and which is which by fingerprint.

`schemas/<topic>.avsc` is the newest; `schemas/released/<topic>/<n>.avsc` are kept for good, so that a record written
under any of them can be read. Logical types are left out of what fastavro gets: times stay the integers that they are.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from schemas import topics

HERE = Path(__file__).parent

Schema = dict[str, Any]
"""An Avro schema as JSON."""


def canonical_fingerprint(schema: Schema) -> bytes:
    """CRC-64-AVRO of the parsing canonical form: the 8 bytes, little-endian, of single-object encoding."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@cache
def text(topic: str) -> str:
    """The newest schema of `topic` as its file says it. KeyError: no such topic; LookupError: it has no schema."""
    stem = topics.TOPICS[topic].schema
    if stem is None:
        raise LookupError(f"{topic} carries other topics' records as they came: it has no schema of its own")
    return (HERE / f"{stem}.avsc").read_text(encoding="utf-8")


@cache
def source(topic: str) -> Schema:
    """`text` as JSON."""
    loaded: Schema = json.loads(text(topic))
    return loaded


@cache
def released(topic: str) -> tuple[Schema, ...]:
    """All released schemas of `topic` as their files say them, oldest first."""
    files = sorted((HERE / "released" / topic).glob("*.avsc"), key=lambda path: int(path.stem))
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in files)


@cache
def newest(topic: str) -> Schema:
    """The newest schema of `topic`, parsed for fastavro, times as plain longs."""
    return _parsed(source(topic))


@cache
def newest_fingerprint(topic: str) -> bytes:
    """The fingerprint under which `topic` is written."""
    return canonical_fingerprint(source(topic))


@cache
def by_fingerprint(topic: str) -> dict[bytes, Schema]:
    """Every schema under which `topic` may have been written, parsed for fastavro. Versions that differ in
    documentation or defaults alone share a fingerprint and are the same on the wire."""
    return {mark: _parsed(schema) for mark, schema in by_mark(topic).items()}


@cache
def by_mark(topic: str) -> dict[bytes, Schema]:
    """The same as their files say them, oldest first; of those that share a fingerprint the newest."""
    return {canonical_fingerprint(schema): schema for schema in (*released(topic), source(topic))}


def topic_of(mark: bytes) -> str | None:
    """The topic one of whose schemas has this fingerprint, for error messages."""
    named = (topic for topic in topics.TOPICS.values() if topic.schema is not None)
    return next((topic.name for topic in named if mark in by_fingerprint(topic.name)), None)


def foreign(schema: Any) -> Schema:
    """A schema from elsewhere, parsed for fastavro. Raises whatever fastavro says of it."""
    return _parsed(schema)


def _parsed(schema: Schema) -> Schema:
    parsed: Schema = parse_schema(_plain(schema))  # type: ignore[assignment]
    return parsed


def _plain(node: Any) -> Any:
    """`node` without logical types: fastavro would make slow datetimes of our milliseconds."""
    if isinstance(node, dict):
        if "logicalType" in node and "name" not in node:
            return _plain(node["type"])
        kept = {name: value for name, value in node.items() if name != "logicalType"}
        return {name: value if name == "default" else _plain(value) for name, value in kept.items()}
    return [_plain(value) for value in node] if isinstance(node, list) else node
