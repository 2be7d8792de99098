"""What partitions tell each other, as it lies on `relay`: records to events, and the facts that travel in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct
from xxhash import xxh3_64_hexdigest

from processors.care.actions import PLACE
from processors.events import (
    STANDINGS,
    Claim,
    Forgotten,
    Link,
    Mishap,
    Part,
    Referral,
    Standing,
    Withdrawal,
)
from processors.events import Relayed as Event
from processors.history import History
from schemas.errors import BadField
from schemas.reader import CONTENT_MASK


class Relayed(Struct, frozen=True, kw_only=True):
    """A record of `relay` as it lies there; `Misplaced` or one of what partitions tell each other is what the
    core gets."""

    event_id: str
    kind: str  # REROUTED, or a name of TOLD_OF
    customer_id: str
    occurred_at: int
    topic: str
    partition: int
    offset: int
    recorded_at: int
    key: bytes | None
    record: bytes | None
    referred_customer_id: str | None
    referrer_id: str | None = None
    level: str | None = None
    clv: int | None = None
    other_id: str | None = None


def _referral(record: Relayed) -> Referral:
    referred = record.referred_customer_id
    if referred is None:
        raise BadField("referred_customer_id", "is null: a REFERRAL says whom it brought")
    return Referral(
        event_id=record.event_id,
        customer_id=record.customer_id,
        occurred_at=record.occurred_at,
        referred_customer_id=referred,
        content=crc32(referred.encode()) & CONTENT_MASK,  # not of the body: a repeated purchase lies at another offset
    )


def _claim(record: Relayed) -> Claim:
    referrer = record.referrer_id
    if referrer is None:
        raise BadField("referrer_id", "is null: a CLAIM says who brought the customer")
    return Claim(
        event_id=record.event_id,
        customer_id=record.customer_id,
        occurred_at=record.occurred_at,
        referrer_id=referrer,
    )


def _withdrawal(record: Relayed) -> Withdrawal:
    referred, referrer = record.referred_customer_id, record.referrer_id
    if referred is None or referrer is None:
        name = "referrer_id" if referrer is None else "referred_customer_id"
        raise BadField(name, "is null: a WITHDRAWAL says of whom, and whose claim was the first")
    return Withdrawal(
        event_id=record.event_id,
        customer_id=record.customer_id,
        occurred_at=record.occurred_at,
        referred_customer_id=referred,
        referrer_id=referrer,
    )


def _standing(record: Relayed) -> Standing:
    if record.level not in STANDINGS:
        raise BadField("level", f"is {record.level!r}: a STANDING says one of {', '.join(STANDINGS)}")
    if record.clv is None:
        raise BadField("clv", "is null: a STANDING says what is expected of who stands so, in minor units")
    if (record.referrer_id is None) == (record.referred_customer_id is None):
        raise BadField("referrer_id", "or referred_customer_id, one of them, says of whom a STANDING is")
    return Standing(
        event_id=record.event_id,
        customer_id=record.customer_id,
        occurred_at=record.occurred_at,
        level=record.level,
        clv=record.clv,
        referred_customer_id=record.referred_customer_id,
        referrer_id=record.referrer_id,
    )


def _mishap(record: Relayed) -> Mishap:
    if not record.customer_id.startswith(PLACE) or "@" not in record.customer_id:
        raise BadField("customer_id", f"is {record.customer_id!r}: a MISHAP is of a place, as in {PLACE}DELIVERY@7")
    return Mishap(event_id=record.event_id, customer_id=record.customer_id, occurred_at=record.occurred_at)


class Payload(Struct, frozen=True, array_like=True):
    """What travels of an id that is merged into another (D5)."""

    links: dict[str, Link]
    facts: History


FORMAT: Final = b"\x01"
"""The format of a payload that is written; facts as in a state, so fields are added at the end with a default."""

_write: Final = msgspec.msgpack.Encoder().encode
_read: Final = msgspec.msgpack.Decoder(Payload).decode


def payload_of(part: Part) -> bytes | None:
    """The `record` of a PART; None: the part is gone."""
    return None if part.facts is None else FORMAT + _write(Payload(part.links, part.facts))


def facts_mark(payload: bytes) -> str:
    """How the event_id of a PART ends, behind its instant: a hash of what lies behind the format, as
    `processors/merging.py` makes it. Facts are trusted, so what is not as it was sent must not become a customer's."""
    return xxh3_64_hexdigest(payload)


def _part(record: Relayed) -> Part:
    if record.other_id is None:
        raise BadField("other_id", "is null: a PART says whose facts it holds")
    part = Part(
        event_id=record.event_id,
        customer_id=record.customer_id,
        occurred_at=record.occurred_at,
        source=record.other_id,
    )
    if record.record is None:
        return part
    if record.record[:1] != FORMAT:
        raise BadField("record", f"has format {record.record[:1]!r}: this release reads {FORMAT!r}; start a newer one")
    try:
        held = _read(record.record[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadField("record", f"does not hold the facts of {record.other_id!r}: {error}") from None
    if not part.event_id.endswith(f":{record.occurred_at}:{facts_mark(record.record[1:])}"):
        text = f"or occurred_at is not what event_id says of the facts of {record.other_id!r}: damaged on the way"
        raise BadField("record", text)
    if record.other_id not in held.links:
        raise BadField("record", f"does not say since when {record.other_id!r} is merged")
    return msgspec.structs.replace(part, links=held.links, facts=held.facts)


def _forgotten(record: Relayed) -> Forgotten:
    if record.other_id is None:
        raise BadField("other_id", "is null: FORGOTTEN says with whom the customer is erased")
    return Forgotten(
        event_id=record.event_id,
        customer_id=record.customer_id,
        occurred_at=record.occurred_at,
        into=record.other_id,
    )


TOLD_OF: Final[dict[str, Callable[[Relayed], Event]]] = {
    "REFERRAL": _referral,
    "CLAIM": _claim,
    "WITHDRAWAL": _withdrawal,
    "STANDING": _standing,
    "MISHAP": _mishap,
    "PART": _part,
    "FORGOTTEN": _forgotten,
}
"""What becomes of a record of `relay` by its kind, but for REROUTED ones."""
