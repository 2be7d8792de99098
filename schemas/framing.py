"""How a record says under which schema it was written. Two framings, told apart by the first byte.

    c3 01 | 8 bytes, little-endian: CRC-64-AVRO of the schema's parsing canonical form | Avro    single-object encoding
    00    | 4 bytes, big-endian: the id that a registry gave the schema                | Avro    Confluent's

The first is written: it needs no further server. The second is read where a registry is configured.
"""

from __future__ import annotations

from schemas import library, topics
from schemas.errors import BrokenAvro, ConfluentFramed, Oversize, UnknownSchema

SINGLE_OBJECT = b"\xc3\x01"
HEADER_BYTES = 10
CONFLUENT_BYTE = 0
CONFLUENT_HEADER_BYTES = 5


def header(topic: str) -> bytes:
    """The ten bytes before a record written under the newest schema of `topic`."""
    return SINGLE_OBJECT + library.newest_fingerprint(topic)


def unframe(topic: str, value: bytes) -> tuple[library.Schema, bytes]:
    """The schema under which `value` was written, and the Avro bytes behind the framing.

    Raises Oversize, ConfluentFramed, UnknownSchema, BrokenAvro.
    """
    check_size(topic, value)
    if value[:2] == SINGLE_OBJECT and len(value) >= HEADER_BYTES:
        mark = value[2:HEADER_BYTES]
        schema = library.by_fingerprint(topic).get(mark)
        if schema is None:
            raise UnknownSchema(_unknown(topic, mark))
        return schema, value[HEADER_BYTES:]
    raise _unframed(topic, value)


def check_size(topic: str, value: bytes) -> None:
    """Raises Oversize."""
    size_max = topics.bytes_max(topic)
    if len(value) > size_max:
        raise Oversize(f"the value has {len(value):,} bytes: at most {size_max:,}; split it into several records")


def _unknown(topic: str, mark: bytes) -> str:
    other = library.topic_of(mark)
    if other is not None:
        return f"the fingerprint {mark.hex()} is that of {other}, not of {topic}: send the record to {other}"
    return (
        f"no released schema of {topic} has the fingerprint {mark.hex()}: write with schemas/{topic}.avsc, "
        f"or upgrade this worker if the schema is newer"
    )


def _unframed(topic: str, value: bytes) -> Exception:
    if not value:
        return BrokenAvro("the value is empty: an Avro record was expected")
    if value[0] == CONFLUENT_BYTE and len(value) >= CONFLUENT_HEADER_BYTES:
        schema_id = int.from_bytes(value[1:CONFLUENT_HEADER_BYTES], "big")
        return ConfluentFramed(
            f"Confluent framing with schema id {schema_id}: only a registry knows it and none is configured "
            f"(LOYALTY_SCHEMA_REGISTRY_URL); or write single-object encoding (C3 01 and the fingerprint)"
        )
    if SINGLE_OBJECT.startswith(value[:2]) or value[0] == CONFLUENT_BYTE:
        return BrokenAvro(f"the value ends after {len(value)} bytes, within its framing")
    return UnknownSchema(
        f"the value begins with {value[:2].hex(' ')}: expected c3 01 (single-object encoding, then the fingerprint of "
        f"schemas/{topic}.avsc) or 00 (Confluent framing)"
    )
