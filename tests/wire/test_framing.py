"""The first bytes of a record: which framing, which schema, and what to say if neither."""

from __future__ import annotations

import struct

import avro.schema
import pytest
from avro.schemanormalization import Fingerprint, ToParsingCanonicalForm
from fastavro.schema import to_parsing_canonical_form

from schemas import framing, library, topics
from schemas.errors import BadRecord, BrokenAvro, ConfluentFramed, Oversize, UnknownSchema

WITH_SCHEMA = [topic.name for topic in topics.TOPICS.values() if topic.schema]

EMPTY = 0xC15D213AA4D7A795


def rabin(text: str) -> bytes:
    """CRC-64-AVRO by the specification's own lines, bit by bit."""
    mark = EMPTY
    for byte in text.encode():
        mark ^= byte
        for _ in range(8):
            mark = (mark >> 1) ^ (EMPTY if mark & 1 else 0)
    return struct.pack("<Q", mark)


@pytest.mark.parametrize("topic", WITH_SCHEMA)
def test_fingerprints_are_those_of_avro_python3_and_of_the_specification(topic: str) -> None:
    for schema, text in [(library.source(topic), library.text(topic))]:
        canonical = ToParsingCanonicalForm(avro.schema.parse(text))
        assert to_parsing_canonical_form(schema) == canonical
        assert library.canonical_fingerprint(schema) == Fingerprint(canonical, "CRC-64-AVRO") == rabin(canonical)
        assert library.canonical_fingerprint(library.newest(topic)) == rabin(canonical), "without logical types too"


def test_the_fingerprint_of_an_int_is_the_one_that_the_java_tests_list() -> None:
    assert struct.unpack("<q", library.canonical_fingerprint("int")) == (8247732601305521295,)  # type: ignore[arg-type]


def test_two_topics_never_share_a_fingerprint() -> None:
    marks = [mark for topic in WITH_SCHEMA for mark in library.by_fingerprint(topic)]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("topic", WITH_SCHEMA)
def test_the_header_is_c3_01_and_the_fingerprint(topic: str) -> None:
    head = framing.header(topic)
    assert head[:2] == b"\xc3\x01"
    assert framing.unframe(topic, head + b"body") == (library.newest(topic), b"body")


HEAD = framing.header("purchases")


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        (b"", BrokenAvro, "empty"),
        (b"\x00\x00\x00\x01\x02body", ConfluentFramed, "schema id 258.*LOYALTY_SCHEMA_REGISTRY_URL"),
        (b"\x00\x00", BrokenAvro, "within its framing"),
        (HEAD[:1], BrokenAvro, "ends after 1 byte"),
        (HEAD[:9], BrokenAvro, "within its framing"),
        (b'{"event_id": 1}', UnknownSchema, "begins with 7b 22"),
        (b"\xc3\x02" + HEAD[2:], UnknownSchema, "expected c3 01"),
        (HEAD[:2] + bytes(8) + b"body", UnknownSchema, "no released schema of purchases"),
        (framing.header("contacts") + b"body", UnknownSchema, "that of contacts.*send the record to contacts"),
        (HEAD + bytes(topics.RECORD_BYTES_MAX), Oversize, "1,048,586 bytes"),
    ],
)
def test_D6_what_is_not_framed_is_refused_with_the_way_out(value: bytes, error: type[BadRecord], says: str) -> None:
    with pytest.raises(error, match=says) as raised:
        framing.unframe("purchases", value)
    assert raised.value.error == error.__name__
