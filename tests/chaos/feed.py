"""What the crash tests read: some households of the grocer's year, and what tills add to it.

Beside the data set's records: a third of the customers give back all they bought in half a year, so that tiers are lost
by time alone; purchases that name a referrer, repeats, records at another customer's key (they travel by `relay`),
complaints, and broken bytes. What goes by `relay` moves figures only, no tier and no level: its stream time there is
whatever the other partition has come to, and the end state must not depend on it.

As a process (`python -m tests.chaos.feed CUSTOMERS`) it writes while workers read already.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from schemas import codec, topics
from streams import ingest
from streams.cli.output import Progress
from streams.datasets import dataset
from streams.ingest import Every, Ticking
from streams.settings import Settings
from streams.spool import Item
from streams.texts import read_policy

PATRONS = 10
"""So many are named as referrers. They do nothing else, for what follows from how a referrer stands (W3) follows the
order of arrival; that is judged by the simulation."""

_REFERS, _REPEATS, _MISPLACED, _COMPLAINS, _BROKEN = 40, 30, 50, 60, 70
"""One in so many purchases brings one of these."""

_RETURNS = 3
"""One in so many customers gives all back."""


DAILY = Every(days=1)


class Silent(Progress):
    """A progress bar that nobody sees."""

    def __init__(self) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def tell(self, text: str) -> None: ...


@cache
def records(customers: int) -> list[Item]:
    """In order of time."""
    plain = list(dataset("completejourney", customers))
    return sorted([*plain, *_extras(plain)], key=lambda item: item.at)


def _extras(plain: list[Item]) -> Iterator[Item]:
    names = sorted({item.key for item in plain})
    bought = [item for item in plain if item.topic == topics.PURCHASES]
    yield from _returns(bought)
    for number, item in enumerate(bought):
        other = names[number % len(names)]
        if number % _REFERS == 0:
            yield _changed(item, number, referrer_id=f"patron-{number // _REFERS % PATRONS}")
        if number % _REPEATS == 0:
            yield item
        if number % _MISPLACED == 0:
            yield Item(item.at, item.number, topics.CONTACTS, other, _service(item, number))
        if number % _COMPLAINS == 0:
            yield Item(item.at, item.number, topics.COMPLAINTS, item.key, _complaint(item, number))
        if number % _BROKEN == 0:
            yield Item(item.at, item.number, topics.PURCHASES, item.key, item.value[: 12 + number % 30])


def _returns(bought: list[Item]) -> Iterator[Item]:
    """All that was bought up to the middle of the year, given back at once."""
    middle = (bought[0].at + bought[-1].at) // 2
    spent: dict[bytes, int] = {}
    for item in bought:
        if int(item.key) % _RETURNS:
            continue
        amount = sum(line.net_amount for line in codec.decode(topics.PURCHASES, item.value, item.key).lines)
        if item.at < middle:
            spent[item.key] = spent.get(item.key, 0) + amount
        elif item.key in spent:
            lines = [{"category": "GROCERY", "quantity": 1, "net_amount": spent.pop(item.key) + amount}]
            yield _changed(item, item.number, kind="RETURN", lines=lines, event_id=f"returned-by-{item.key.decode()}")


def _changed(item: Item, number: int, **fields: Any) -> Item:
    bought = codec.read(topics.PURCHASES, item.value) | {"event_id": f"with-referrer-{number}"} | fields
    return Item(item.at, item.number, item.topic, item.key, codec.write(topics.PURCHASES, bought))


def _service(item: Item, number: int) -> bytes:
    return codec.write(
        topics.CONTACTS,
        {
            "event_id": f"service-{number}",
            "customer_id": item.key.decode(),
            "occurred_at": item.at,
            "kind": "SERVICE",  # makes no care due: some come by relay, and what is told would follow their arrival
            "direction": "IN",
            "channel": "store",  # costs nothing: likewise
        },
    )


def _complaint(item: Item, number: int) -> bytes:
    return codec.write(
        topics.COMPLAINTS,
        {
            "event_id": f"complaint-{number}",
            "customer_id": item.key.decode(),
            "occurred_at": item.at,
            "complaint_id": f"c-{number}",
            "status": "OPENED" if number % 3 else "RESOLVED",
            "severity": 1 + number % 5,
            "about": "PRODUCT",
        },
    )


class Span(NamedTuple):
    """Ticks at these instants (ms), of which this import writes those after `after` (None: all), the last at `last`."""

    times: Sequence[int]
    after: int | None
    last: int


async def send(settings: Settings, feed: Iterable[Item], span: Span, mark: str) -> int:
    """All of the feed up to the last tick and the ticks, acknowledged; how many lie in the topics.

    `at` of an item says when it is sent.
    """
    policy = read_policy(settings.policy)
    clocks = dict.fromkeys(range(settings.partitions), span.after)
    producer = ingest.producer_for(settings)
    await producer.start()
    try:
        ticking = Ticking(iter(span.times), span.last, clocks, policy, mark)
        done = await ingest.write_feed(ingest.Sender(producer), feed, settings.partitions, ticking, None, Silent())
        return done.written + done.ticks * settings.partitions
    finally:
        await producer.stop()


def ticks(settings: Settings, first_ms: int, until_ms: int, every: Every = DAILY) -> list[int]:
    """The instants of the ticks of an import."""
    return list(ingest.tick_times(first_ms, until_ms, every, read_policy(settings.policy).calendar))


def write(settings: Settings, customers: int, part: int = 0, parts: int = 1, every: Every = DAILY) -> int:
    """All records and their ticks, acknowledged, or those of one part of the year; how many lie in the topics."""
    feed = records(customers)
    times = ticks(settings, feed[0].at, ingest.end_of_day(feed[-1].at, read_policy(settings.policy).calendar), every)
    cuts = [-1, *(times[len(times) * n // parts - 1] for n in range(1, parts + 1))]
    after, last = cuts[part], cuts[part + 1]
    mine = [item for item in feed if after < item.at <= last]
    span = Span([at for at in times if after < at <= last], after if part else None, last)
    return asyncio.run(send(settings, mine, span, f"chaos/{customers}/{part}"))


if __name__ == "__main__":
    write(Settings.from_env(), int(sys.argv[1]))
