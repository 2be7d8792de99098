"""How a record says under which schema it was written. Two framings, told apart by the first byte.

    c3 01 | 8 bytes, little-endian: CRC-64-AVRO of the schema's parsing canonical form | Avro    single-object encoding
    00    | 4 bytes, big-endian: the id that a registry gave the schema                | Avro    Confluent's

Every record is made in the first. Where a registry is configured the second is read too, and what others read leaves in
it: the head is exchanged as a record goes out (`reframed`), so that nothing behind it knows of ids.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas import library, topics
from schemas.errors import BrokenAvro, ConfluentFramed, Oversize, UnknownSchema
from schemas.registry import CONFLUENT_BYTE, CONFLUENT_HEADER_BYTES, Registered, id_of

SINGLE_OBJECT = b"\xc3\x01"
HEADER_BYTES = 10

Heads = Mapping[str, Mapping[bytes, bytes]]
"""By topic: the ten bytes of single-object encoding to the five of Confluent's framing, of each released schema."""


def header(topic: str) -> bytes:
    """The ten bytes before a record written under the newest schema of `topic`."""
    return SINGLE_OBJECT + library.newest_fingerprint(topic)


def confluent_head(schema_id: int) -> bytes:
    """The five bytes before a record written under the schema to which a registry gave this id."""
    return bytes((CONFLUENT_BYTE,)) + schema_id.to_bytes(CONFLUENT_HEADER_BYTES - 1, "big")


def reframed(heads: Heads, topic: str, value: bytes | None) -> bytes | None:
    """`value` as it leaves for `topic`: Confluent-framed where `heads` knows its schema, else as it is."""
    known = heads.get(topic)
    if known is None or value is None:
        return value
    head = known.get(value[:HEADER_BYTES])
    return value if head is None else head + value[HEADER_BYTES:]


def unframe(topic: str, value: bytes, registered: Registered | None = None) -> tuple[library.Schema, bytes]:
    """The schema under which `value` was written, and the Avro bytes behind the framing.

    registered: what a registry told; None: none is configured. Raises Oversize, ConfluentFramed, UnknownSchema,
    BrokenAvro.
    """
    check_size(topic, value)
    if value[:2] == SINGLE_OBJECT and len(value) >= HEADER_BYTES:
        mark = value[2:HEADER_BYTES]
        schema = library.by_fingerprint(topic).get(mark)
        if schema is None:
            raise UnknownSchema(_unknown(topic, mark))
        return schema, value[HEADER_BYTES:]
    if registered is not None and value[:1] == b"\0" and len(value) >= CONFLUENT_HEADER_BYTES:
        return registered.schema(topic, id_of(value)), value[CONFLUENT_HEADER_BYTES:]
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
        return ConfluentFramed(
            f"Confluent framing with schema id {id_of(value)}: only a registry knows it and none is configured "
            f"(LOYALTY_SCHEMA_REGISTRY_URL); or write single-object encoding (C3 01 and the fingerprint)"
        )
    if SINGLE_OBJECT.startswith(value[:2]) or value[0] == CONFLUENT_BYTE:
        return BrokenAvro(f"the value ends after {len(value)} bytes, within its framing")
    return UnknownSchema(
        f"the value begins with {value[:2].hex(' ')}: expected c3 01 (single-object encoding, then the fingerprint of "
        f"schemas/{topic}.avsc) or 00 (Confluent framing)"
    )
