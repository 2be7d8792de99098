"""Loads `purchases` with CDNOW repeated to N purchases, a tick a day: python -m tests.bench.load N."""

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


async def load(settings: Settings, number: int) -> None:
    """All purchases and ticks, acknowledged."""
    policy = read_policy(settings.policy)
    events = list(repeated_cdnow(number))
    until = ingest.end_of_day(events[-1].occurred_at, policy.calendar)
    times = ingest.tick_times(events[0].occurred_at, until, Every(days=1), policy.calendar)
    ticking = Ticking(times, until, dict.fromkeys(range(settings.partitions)), policy, "bench")
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


if __name__ == "__main__":
    asyncio.run(load(Settings.from_env(), int(sys.argv[1])))
