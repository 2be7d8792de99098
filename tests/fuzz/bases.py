"""Good records: what a mutated one was before, what stands around it, and what has happened before all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from processors.customer import apply, newcomer
from processors.events import Link, Part
from processors.history import History
from processors.merging import own_facts
from schemas.codec import decode, write
from schemas.partitioner import partition_of
from schemas.relayed import facts_mark, payload_of
from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, PURCHASES, RELAY, TICKS
from tests.simulation.shop import policy

PARTITIONS = 2
HERE = 0
"""The partition under test."""
T = 1_725_000_000_000
"""Stream time when the mutated record comes, ms."""
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

Fields = dict[str, Any]


def _named(prefix: str, number: int, partition: int) -> tuple[str, ...]:
    names = (f"{prefix}{n}" for n in range(10_000))
    found = (name for name in names if partition_of(name.encode(), PARTITIONS) == partition)
    return tuple(next(found) for _ in range(number))


ANNA, BO, CLEO, DAN, EVE, RICH, POOR = KNOWN = _named("known-", 7, HERE)
"""Cleo is merged into Anna, Dan was erased, Eve is merged into somebody elsewhere; one more sale is too much for what
Rich ever bought, or one more return for what Poor brought back."""
NEW = _named("new-", 4, HERE)
ELSEWHERE = _named("away-", 3, 1 - HERE)
PLACE = next(
    name
    for name in (f"place:DELIVERY@{n}" for n in range(99))
    if partition_of(name.encode(), PARTITIONS) == HERE
)  # fmt: skip


def customer(rng: Random) -> str:
    """Whom a good record is about."""
    return rng.choice(KNOWN if rng.random() < 0.7 else NEW)


def _id(rng: Random) -> str:
    return f"e-{rng.getrandbits(48):012x}"


def _start(rng: Random, at: int | None) -> Fields:
    when = T - rng.randrange(5 * DAY) if at is None else at
    return {"event_id": _id(rng), "customer_id": customer(rng), "occurred_at": when}


def _line(rng: Random) -> Fields:
    return {
        "category": rng.choice(("food", "cd", "Käse", "")),
        "sku": rng.choice((None, "sku-1")),
        "quantity": rng.choice((1, 1, 2, 0, -1, 70)),
        "net_amount": rng.choice((0, 1, 99, 1_250, 90_000)),
        "cost": rng.choice((None, None, 0, 55, -3)),
    }


def purchase(rng: Random, at: int | None = None) -> Fields:
    return _start(rng, at) | {
        "kind": rng.choice(("SALE", "SALE", "RETURN")),
        "store_id": rng.choice(("7", "11")),
        "channel": "store",
        "currency": rng.choice(("USD", "USD", "EUR")),
        "lines": [_line(rng) for _ in range(rng.choice((1, 1, 2, 3)))],
        "original_event_id": rng.choice((None, None, "e-1")),
        "coupon_ids": rng.choice(([], [], ["spring"], ["benefit:coffee:e-1", "b"])),
        "referrer_id": rng.choice((None, None, BO, ELSEWHERE[0])),
        "employee_id": rng.choice((None, "emp-1")),
    }


def complaint(rng: Random, at: int | None = None) -> Fields:
    return _start(rng, at) | {
        "complaint_id": rng.choice(("c-1", "c-2", "c-3")),
        "status": rng.choice(("OPENED", "UPDATED", "RESOLVED", "REOPENED")),
        "severity": rng.randint(1, 5),
        "about": rng.choice(("PRODUCT", "DELIVERY", "STAFF")),
        "satisfaction": rng.choice((None, 1, 5)),
        "compensation": rng.choice((0, 0, 500, -20)),
        "store_id": rng.choice((None, "7")),
        "reward": rng.choice((0, 0, 100)),
    }


def contact(rng: Random, at: int | None = None) -> Fields:
    return _start(rng, at) | {
        "kind": rng.choice(("CARE", "INQUIRY", "VISIT", "SURVEY", "REFERRAL", "CAMPAIGN", "SERVICE", "DECLINED")),
        "direction": rng.choice(("IN", "OUT")),
        "channel": rng.choice(("phone", "mail", "store")),
        "reminder_id": rng.choice((None, None, "r-1")),
        "score": rng.choice((None, 0, 10)),
        "referred_customer_id": rng.choice((None, EVE, ELSEWHERE[1])),
        "employee_id": rng.choice((None, "emp-2")),
        "cost": rng.choice((None, 0, 75)),
        "item": rng.choice((None, "WOULD_RECOMMEND", "benefit:visit:1")),
        "reason": rng.choice((None, None, "moved")),
        "due_at": rng.choice((None, None, T + 3 * DAY)),
    }


def profile(rng: Random, at: int | None = None) -> Fields:
    return _start(rng, at) | {
        "joined_at": T - rng.randrange(900) * DAY,
        "birthday": rng.choice((None, "02-29", "1984-08-30")),
        "anniversaries": rng.choice(([], [{"name": "wedding", "date": "09-01"}])),
        "consent": rng.choice(({}, {"phone": True}, {"phone": False, "mail": True})),
        "do_not_contact": rng.random() < 0.1,
        "key_account": rng.random() < 0.1,
        "employee_id": rng.choice((None, "emp-1")),
        "time_zone": rng.choice((None, "Europe/Berlin", "Asia/Kathmandu")),
        "language": rng.choice((None, "en", "zh-Hant-TW")),
        "acquisition_cost": rng.choice((0, 1_500)),
        "preferred_channel": rng.choice((None, "mail")),
        "merged_into": rng.choice((None, None, None, BO, ELSEWHERE[2])),
        "staff": rng.random() < 0.05,
    }


SERVED: Fields = {
    "employee_id": "emp-1", "customers": 3, "buyers": 2, "kept": 1, "in_time": 4, "missed": 0, "rated": 1,
    "satisfaction": 5,
}  # fmt: skip
"""How an employee serves, as a tick says it."""


def tick(rng: Random, at: int | None = None) -> Fields:
    return {
        "at": T + rng.randrange(50 * MINUTE) if at is None else at,
        "value_at_share": rng.choice(({}, {}, {"0.2": 60_000}, {".01": 90_000, "1": -5})),
        "policy": "",
        "served": rng.choice(([], [], [SERVED])),
    }


def relayed(rng: Random, at: int | None = None) -> Fields:
    """What another partition says; a record on its way, or the facts of a merged id, are put in by `inputs.py`."""
    kind = rng.choice(("REFERRAL", "CLAIM", "WITHDRAWAL", "STANDING", "MISHAP", "PART", "FORGOTTEN"))
    fields = _start(rng, at) | {
        "kind": kind, "topic": RELAY, "partition": 1 - HERE, "offset": -1, "recorded_at": T, "key": None,
        "record": None, "referred_customer_id": None, "referrer_id": None, "level": None, "clv": None, "other_id": None,
    }  # fmt: skip
    if kind in ("REFERRAL", "WITHDRAWAL"):
        fields["referred_customer_id"] = rng.choice((EVE, *ELSEWHERE))
    if kind in ("CLAIM", "WITHDRAWAL"):
        fields["referrer_id"] = rng.choice((BO, *ELSEWHERE))
    if kind == "STANDING":
        fields[rng.choice(("referrer_id", "referred_customer_id"))] = rng.choice((BO, *ELSEWHERE))
        fields |= {"level": rng.choice(("OK", "UNHAPPY", "LOST")), "clv": rng.choice((0, 12_000))}
    if kind == "MISHAP":
        fields |= {"customer_id": PLACE, "event_id": f"{rng.getrandbits(64):016x}:{rng.getrandbits(64):016x}"}
    if kind == "FORGOTTEN":
        fields["other_id"] = rng.choice((ANNA, *ELSEWHERE))
    if kind == "PART":
        fields |= _part(rng, fields["customer_id"])
    return fields


def _part(rng: Random, into: str) -> Fields:
    """The facts of an id elsewhere that is merged into this one; now and then they are gone."""
    source = rng.choice(ELSEWHERE)
    held = None if rng.random() < 0.2 else _facts(rng.randrange(4))
    links = {source: Link(into, T - 9 * DAY)}
    part = Part(event_id="p", customer_id=into, occurred_at=T, source=source, links=links, facts=held)
    payload = payload_of(part)
    mark = "gone" if payload is None else facts_mark(payload[1:])
    return {"other_id": source, "record": payload, "event_id": f"{source}:{T}:{mark}", "occurred_at": T}


@cache
def _facts(number: int) -> History:
    """What somebody elsewhere has done."""
    rng, rules = Random(number), policy(1, "UTC", 8_000, "min_referrals_365d = 2", 10, "false")
    one = newcomer(ELSEWHERE[0], T, "member", "")
    made = (
        (PURCHASES, purchase),
        (PURCHASES, purchase),
        (COMPLAINTS, complaint),
        (CONTACTS, contact),
        (CUSTOMERS, profile),
    )
    for topic, fields in made:
        event = decode(
            topic, write(topic, fields(rng, T - rng.randrange(200) * DAY) | {"customer_id": ELSEWHERE[0]}), None
        )
        one = apply(one, event, rules)  # type: ignore[arg-type]
    return own_facts(one.history, one.merge)


GOOD: dict[str, Callable[[Random, int | None], Fields]] = {
    PURCHASES: purchase,
    COMPLAINTS: complaint,
    CONTACTS: contact,
    CUSTOMERS: profile,
    RELAY: relayed,
    TICKS: tick,
}
"""By topic: one good record's fields. at: its time; None: one of the last days."""


def key_of(topic: str, fields: Fields) -> bytes | None:
    """The key that a sender gives it."""
    return None if topic == TICKS else str(fields["customer_id"]).encode()
