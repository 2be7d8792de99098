"""A customer as bytes and back: one format byte, then MessagePack, structs as arrays.

Fields may be added at the end of a struct with a default; what was written before is then read unchanged. Anything
else is a new format: a new byte, its own reader in `_READERS`, and the old reader stays, for states lie in Redis for
as long as their customer is silent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from processors.customer import Customer, Told
from processors.days import Calendar
from processors.history import seen_since, within
from processors.merging import as_of

FORMAT: Final = b"\x01"
"""The format that is written."""


class BadState(ValueError):
    """Bytes that are no state this release can read. Ours, not the sender's: the partition stops."""


_write = msgspec.msgpack.Encoder().encode
_read_1 = msgspec.msgpack.Decoder(Customer).decode

_READERS: Final[dict[bytes, Callable[[bytes], Customer]]] = {b"\x01": _read_1}


def encode(customer: Customer) -> bytes:
    """`customer` in the newest format."""
    return FORMAT + _write(customer)


def decode(state: bytes) -> Customer:
    """The customer in `state`, of whatever format was ever written. Raises BadState."""
    reader = _READERS.get(state[:1])
    if reader is None:
        known = ", ".join(str(mark[0]) for mark in sorted(_READERS))
        found = state[0] if state else "nothing"
        raise BadState(
            f"a state of {len(state)} bytes begins with format {found}: this release reads {known}; "
            f"start the release that wrote it, or a newer one"
        )
    try:
        return reader(state[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadState(
            f"a state of format {state[0]} ({len(state)} bytes) does not hold what that format says: {error}; "
            f"restore Redis from its last backup, or empty this prefix: a worker folds all again from Kafka"
        ) from error


def canonical(customer: Customer, clock: int | None, horizon_ms: int, calendar: Calendar) -> Customer:
    """`customer` without what it may or may not have dropped already, so that two of the same facts are equal.

    Ids seen before `clock - horizon_ms` go, and days that have left the window at the later of `clock` (ms, None before
    the first tick) and the customer's own time.
    """
    day = calendar.day_of(customer.now if clock is None else max(clock, customer.now))
    since = 0 if clock is None else clock - horizon_ms
    history, merge = within(customer.history, day), customer.merge
    history = replace(history, seen=seen_since(history.seen, since))
    if merge is not None:
        _, merge = as_of(history, merge, day)
        own = merge.own
        merge = replace(merge, own=None if own is None else replace(own, seen=seen_since(own.seen, since)))
    return replace(customer, history=history, merge=merge)


def facts_bytes(customer: Customer, clock: int | None, horizon_ms: int, calendar: Calendar) -> bytes:
    """The facts alone, canonical: equal for the same events in any order and with repeats (D1)."""
    facts = canonical(customer, clock, horizon_ms, calendar)
    return encode(replace(facts, told=Told(""), now=0, next_review=0, context="", counted=None))
