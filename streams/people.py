"""Made-up people around a real till: who its customers might be, what they say, and who gets in touch with them.

A till knows baskets, not birthdays. So that every rule can be tried on a real year, each customer of a data set gets a
profile, and some complaints, inquiries, surveys, recommendations and contacts, and there are those who serve: by a
seed, the same each time, each customer's own whatever the others are. Nothing here is fitted to anything; no figure of
the docs comes from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import merge
from random import Random
from typing import Any, Final

from processors.days import DAY_MS
from schemas import codec, topics
from streams.datasets import Dataset
from streams.spool import Item

HOUR_MS: Final = 3_600_000
_CHANNELS: Final = ("app", "email", "sms", "phone")
_ABOUT: Final = ("PRODUCT", "SERVICE", "DELIVERY", "PRICE", "STAFF", "OTHER")
_ZONES: Final = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")
_STAFF: Final = tuple(f"employee-{number}" for number in range(1, 21))
_BEFORE_MS: Final = 60_000
"""A profile is filled in before the first purchase."""

Made = tuple[int, str, dict[str, Any]]
"""Instant (ms), topic, record."""


def with_people(feed: Dataset, seed: int) -> Dataset:
    """`feed` with made-up people: the same for the same seed. Its last instant stays what it was."""
    spans: dict[str, list[int]] = {}
    for item in feed:
        span = spans.setdefault(item.key.decode(), [item.at, item.at])
        span[1] = item.at
    if feed.last_ms is None:
        return feed
    made: list[Made] = []
    for name, (first, last) in spans.items():
        made += _person(name, first, last, feed.last_ms, Random(f"{seed}:{name}"))
    made += _bad_week(spans, feed.first_ms or 0, feed.last_ms, seed)
    made += _those_who_serve(feed.first_ms or 0, feed.last_ms, seed)
    made.sort(key=lambda one: (one[0], one[1], one[2]["customer_id"], one[2]["event_id"]))
    held = [Item(at, number, topic, record["customer_id"].encode(), codec.write(topic, record))
            for number, (at, topic, record) in enumerate(made, feed.count)]  # fmt: skip
    return replace(
        feed,
        mark=f"{feed.mark}/people-{seed}",
        topics=tuple(dict.fromkeys((*feed.topics, topics.CUSTOMERS, topics.COMPLAINTS, topics.CONTACTS))),
        count=feed.count + len(held),
        first_ms=min(feed.first_ms or 0, held[0].at),
        items=lambda: _merged(feed, held),
    )


def _merged(feed: Dataset, held: Iterable[Item]) -> Iterator[Item]:
    """Both in one order of time."""
    return merge(held, feed, key=lambda item: item.at)


def _person(name: str, first: int, last: int, end: int, rng: Random) -> Iterator[Made]:
    """All that is made up of one customer who was seen from `first` to `last` (ms)."""
    joined = first - _BEFORE_MS
    yield joined, topics.CUSTOMERS, _profile(name, joined, joined, rng)
    if rng.random() < 0.05:  # some change their mind
        at = rng.randint(first, end)
        yield at, topics.CUSTOMERS, _profile(name, at, joined, rng)
    for number in range(_few(rng, 0.12)):
        yield from _complaint(f"complaint-{name}-{number}", name, rng.randint(first, last), end, rng)
    for number in range(_few(rng, 0.8)):
        yield from _contact(f"contact-{name}-{number}", name, rng.randint(first, end), rng)
    if rng.random() < 0.06:
        yield from _agreed(f"agreed-{name}", name, rng.randint(first, last), end, rng)


def _bad_week(spans: dict[str, list[int]], first: int, end: int, seed: int) -> Iterator[Made]:
    """In the middle of it all a store delivers badly, and some complain: a cause to be found (K5)."""
    rng, at = Random(f"{seed}:a bad week"), first + (end - first) // 2
    there = sorted(name for name, (since, _) in spans.items() if since < at)
    for name in rng.sample(there, min(8, len(there))):
        for made in _complaint(f"bad-week-{name}", name, at + rng.randint(0, 6) * DAY_MS, end, rng):
            when, topic, record = made
            yield when, topic, record | {"about": "DELIVERY", "store_id": "367"}


def _those_who_serve(first: int, end: int, seed: int) -> Iterator[Made]:
    """The staff as customers inside (E3): a jubilee in the year, now and then something to be recognised, a
    complaint."""
    for name in _STAFF:
        rng = Random(f"{seed}:{name}")
        joined = rng.randint(first, end) - rng.randint(1, 20) * 365 * DAY_MS
        yield first - _BEFORE_MS, topics.CUSTOMERS, {
            "event_id": f"profile-{name}", "customer_id": name, "occurred_at": first - _BEFORE_MS,
            "joined_at": max(joined, 0), "staff": True, "time_zone": rng.choice(_ZONES),
        }  # fmt: skip
        if rng.random() < 0.5:
            at = rng.randint(first, end)
            yield at, topics.CONTACTS, {
                "event_id": f"achievement-{name}", "customer_id": name, "occurred_at": at, "kind": "SERVICE",
                "direction": "IN", "channel": "store", "item": "ACHIEVEMENT: every promise of a quarter kept",
            }  # fmt: skip
        if rng.random() < 0.3:
            yield from _complaint(f"complaint-{name}", name, rng.randint(first, end), end, rng)


def _agreed(name: str, customer: str, at: int, end: int, rng: Random) -> Iterator[Made]:
    """A call back, a delivery or a benefit is agreed on; mostly it is done, and mostly in time."""
    what, due = rng.choice(("CALL_BACK", "DELIVERY", "BENEFIT")), at + rng.randint(2, 96) * HOUR_MS
    contact = {"customer_id": customer, "channel": "phone", "item": what, "employee_id": rng.choice(_STAFF)}
    yield at, topics.CONTACTS, contact | {
        "event_id": name, "occurred_at": at, "kind": "INQUIRY", "direction": "IN", "due_at": due,
    }  # fmt: skip
    done = at + int((due - at) * rng.uniform(0.3, 1.3))
    if rng.random() < 0.9 and done <= end:
        yield done, topics.CONTACTS, contact | {
            "event_id": f"{name}-done", "occurred_at": done, "kind": "SERVICE", "direction": "OUT",
        }  # fmt: skip


def _few(rng: Random, chance: float) -> int:
    """How many: one more each time with this chance, at most five."""
    number = 0
    while number < 5 and rng.random() < chance:
        number += 1
    return number


def _profile(name: str, at: int, joined: int, rng: Random) -> dict[str, Any]:
    year, month, day = rng.randint(1935, 1999), rng.randint(1, 12), rng.randint(1, 28)
    days = [{"name": "wedding", "date": f"{rng.randint(1960, 2015)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"}]
    if rng.random() < 0.05:
        days.append({"name": "birth", "date": f"2017-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"})
    return {
        "event_id": f"profile-{name}-{at}",
        "customer_id": name,
        "occurred_at": at,
        "joined_at": joined,
        "birthday": "02-29" if rng.random() < 0.01 else f"{year}-{month:02}-{day:02}" if rng.random() < 0.9 else None,
        "anniversaries": days if rng.random() < 0.4 else [],
        "consent": {channel: rng.random() < 0.8 for channel in _CHANNELS if rng.random() < 0.7},
        "do_not_contact": rng.random() < 0.02,
        "key_account": rng.random() < 0.01,
        "employee_id": rng.choice(_STAFF) if rng.random() < 0.5 else None,
        "time_zone": rng.choice(_ZONES) if rng.random() < 0.5 else None,
        "language": rng.choice(("en", "en", "zh", None)),
        "acquisition_cost": rng.choice((0, 1_000, 2_500, 5_000)),
        "preferred_channel": rng.choice((*_CHANNELS, None)),
    }


def _complaint(name: str, customer: str, at: int, end: int, rng: Random) -> Iterator[Made]:
    """Opened; mostly answered within some days, now and then opened again."""
    about, severity = rng.choice(_ABOUT), rng.randint(1, 5)
    steps = [("OPENED", at)]
    if rng.random() < 0.8:
        at += rng.randint(1, 120) * HOUR_MS
        steps.append(("RESOLVED", at))
        if rng.random() < 0.2:
            steps.append(("REOPENED", at + rng.randint(1, 20) * DAY_MS))
    for number, (status, when) in enumerate(steps):
        if when > end:
            return
        settled = status == "RESOLVED"
        yield when, topics.COMPLAINTS, {
            "event_id": f"{name}-{number}", "customer_id": customer, "occurred_at": when, "complaint_id": name,
            "status": status, "severity": severity, "about": about, "store_id": None,
            "satisfaction": rng.choice((None, 1, 3, 4, 5)) if settled else None,
            "compensation": rng.choice((0, 0, 500)) if settled else 0,
        }  # fmt: skip


def _contact(event_id: str, customer: str, at: int, rng: Random) -> Iterator[Made]:
    kind = rng.choice(("CARE", "CARE", "VISIT", "INQUIRY", "SURVEY", "SURVEY", "RECOMMENDATION", "SERVICE", "REFERRAL"))
    out = kind in ("CARE", "VISIT")
    yield at, topics.CONTACTS, {
        "event_id": event_id, "customer_id": customer, "occurred_at": at, "kind": kind,
        "direction": "OUT" if out else "IN", "channel": rng.choice((*_CHANNELS, "store")),
        "score": rng.randint(0, 10) if kind == "SURVEY" else None,
        "item": rng.choice(("WOULD_RECOMMEND", "WILL_BUY_AGAIN", "SUGGESTION")) if kind == "SURVEY" else None,
        "referred_customer_id": f"friend-of-{customer}" if kind == "REFERRAL" else None,
        "employee_id": rng.choice(_STAFF) if out else None,
    }  # fmt: skip
