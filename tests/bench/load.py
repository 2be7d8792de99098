"""Loads `purchases` with CDNOW repeated to N purchases: python -m tests.bench.load N. A tick a day; --bare: none."""

from __future__ import annotations

import asyncio
import sys

from schemas.topics import PURCHASES
from streams import ingest
from streams.cli.output import Output
from streams.datasets import encoded, repeated_cdnow
from streams.ingest import Every, Ticking
from streams.settings import Settings
from streams.spool import Item
from streams.texts import read_policy


async def load(settings: Settings, number: int, *, bare: bool) -> None:
    """All purchases, and unless `bare` the ticks, acknowledged."""
    events = list(repeated_cdnow(number))
    ticking = None if bare else daily(settings, events[0].occurred_at, events[-1].occurred_at)
    feed = (
        Item(event.occurred_at, place, PURCHASES, event.customer_id.encode(), encoded(event))
        for place, event in enumerate(events)
    )
    producer = ingest.producer_for(settings)
    await producer.start()
    try:
        with Output().progress("loading", number) as progress:
            await ingest.write_feed(ingest.Sender(producer), feed, settings.partitions, ticking, None, progress)
    finally:
        await producer.stop()


def daily(settings: Settings, first_ms: int, last_ms: int) -> Ticking:
    """A tick at each midnight between, and one at the end of the last day."""
    policy = read_policy(settings.policy)
    until = ingest.end_of_day(last_ms, policy.calendar)
    times = ingest.tick_times(first_ms, until, Every(days=1), policy.calendar)
    return Ticking(times, until, dict.fromkeys(range(settings.partitions)), policy, "bench")


if __name__ == "__main__":
    asyncio.run(load(Settings.from_env(), int(sys.argv[1]), bare="--bare" in sys.argv[2:]))
