"""A year with made-up people around it, and how their tills, telephones and offices may send it: twice, and late.

Two things are done to it of which the contract says that nobody is told otherwise. A record is sent again, up to half a
year later (a repeat changes nothing). A record is sent late: behind newer ones of other customers, its own topic's and
other topics', and up to its own customer's next one or the next tick, whichever comes first (what is told is the same
while each customer's events come in order of time). Past a tick is another story: what silence told by then is not
taken back, it is corrected. So that there is room to be late, ticks are five days apart here, not one.

As a process (`python -m tests.chaos.people CUSTOMERS SEED`) it writes while workers read already.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from schemas import codec, topics
from streams.datasets import dataset
from streams.ingest import Every
from streams.people import with_people
from streams.settings import Settings
from streams.spool import Item
from tests.chaos import feed

PEOPLE = 1
"""The seed of `import-dataset --people`."""

END_MS = 1_525_147_200_000
"""2018-05-01T00:00-04:00: in the year itself no day leaves the last 365, so that no tier could fall."""

VISIT = {"event_id": "v", "customer_id": "1", "occurred_at": END_MS - 1, "kind": "VISIT", "direction": "IN",
         "channel": "store"}  # fmt: skip
"""The last there is, after four months of silence."""

REPEAT_MS = 182 * 86_400_000
_REPEATED, _LATE = 0.15, 0.3


class Sent(NamedTuple):
    """items in the order in which they are sent, `at` being when; and how many of them are repeats, and late."""

    items: list[Item]
    repeats: int
    late: int


def year(customers: int) -> list[Item]:
    """The records of the import, in order of time."""
    visit = Item(END_MS - 1, 0, topics.CONTACTS, b"1", codec.write(topics.CONTACTS, VISIT))
    return [*with_people(dataset("completejourney", customers), PEOPLE), visit]


def ill_sent(items: Sequence[Item], ticks: Sequence[int], rng: Random) -> Sent:
    """`items` (in order of time) with some sent again, and some late."""
    times = [item.at for item in items]
    placed: list[tuple[int, int, Item]] = []  # sent behind items[n]: itself, then the late, then repeats
    late = repeats = 0
    for number, (item, bound) in enumerate(zip(items, _bounds(items, times, ticks), strict=True)):
        behind = rng.randint(number, bound) if rng.random() < _LATE else number
        late += behind > number
        placed.append((behind, behind > number, item._replace(at=times[behind])))
        if rng.random() < _REPEATED:
            again = rng.randint(behind, bisect_right(times, item.at + REPEAT_MS) - 1)
            placed.append((again, 2, item._replace(at=times[again])))
            repeats += 1
    return Sent([item for _, _, item in sorted(placed, key=lambda one: one[:2])], repeats, late)


def _bounds(items: Sequence[Item], times: Sequence[int], ticks: Sequence[int]) -> list[int]:
    """Of each item the last behind which it may be sent: older than its customer's next, and before the next tick."""
    bounds = [0] * len(items)
    following: dict[bytes, int] = {}
    for number, item in reversed(list(enumerate(items))):
        next_own = following.get(item.key, END_MS)
        next_tick = ticks[bisect_left(ticks, item.at)]
        bounds[number] = max(number, min(bisect_right(times, next_tick), bisect_left(times, next_own)) - 1)
        following[item.key] = item.at
    return bounds


def sent(settings: Settings, customers: int, seed: int) -> tuple[Sent, list[int]]:
    """The year as it is sent under a seed, and the ticks between."""
    items = year(customers)
    ticks = feed.ticks(settings, items[0].at, END_MS, Every(days=5))
    return ill_sent(items, ticks, Random(f"{seed}:people")), ticks


if __name__ == "__main__":
    its = Settings.from_env()
    made, instants = sent(its, int(sys.argv[1]), int(sys.argv[2]))
    asyncio.run(feed.send(its, made.items, feed.Span(instants, None, END_MS), "people"))
