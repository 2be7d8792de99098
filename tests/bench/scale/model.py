"""What 100 million customers and 50,000 events a second need, worked out from what was measured for few.

Everything is a cost an event, a customer or a tick times how many there are. Whether that holds is checked by points
that were measured too: the bytes of a million customers, a tick among a million, the events of two workers.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Final

from tests.bench.marked import Part

CUSTOMERS: Final = 100_000_000
EVENTS_PER_S: Final = 50_000
BUSY: Final = 0.7
"""Of a core that is to be used at most: the rest is for a peak, and for catching up behind an outage."""

MASTER_BYTES: Final = 64 * 2**30
"""Of one Redis master, whose log is still rewritten in minutes."""

PEERS: Final = Part("performance.md", "peers")
MEASURED: Final = "loyalty-w1"
"""The rules with which two workers were run."""

RULES: Final = {"value and tiers": "loyalty-w1", "all rules": "loyalty-full"}


def rows(memory: Part, ticks: Part, workers: Part) -> list[dict[str, Any]]:
    """A row a policy."""
    weights = {row["what"]: row for row in memory.rows()}
    rates = {row["system"]: row["events_per_s"] for row in PEERS.rows()}
    one = next(row for row in workers.rows() if row["workers"] == 1)
    tick_ms = ticks.rows()[-1]["p50_ms"]
    found = []
    for name, system in RULES.items():
        weighed = weights[f"CDNOW, {name}"]
        cores = EVENTS_PER_S / rates[system] / BUSY
        partitions = 12 * ceil(cores * 2 / 12)
        redis_cores = (EVENTS_PER_S * weighed["redis_us"] / 1e6 + partitions * tick_ms / 1e3) / BUSY
        out = f"{EVENTS_PER_S * one['kafka_out_bytes'] / 1e6:.1f}" if system == MEASURED else "not measured"
        found.append(
            {
                "rules": name,
                "worker_cores": ceil(cores),
                "partitions": partitions,
                "redis_GiB": round(CUSTOMERS * weighed["bytes"] / 2**30),
                "masters": max(ceil(redis_cores), ceil(CUSTOMERS * weighed["bytes"] / MASTER_BYTES)),
                "redis_MB_per_s": round(EVENTS_PER_S * (weighed["redis_in_bytes"] + weighed["redis_out_bytes"]) / 1e6),
                "kafka_in_MB_per_s": round(EVENTS_PER_S * one["kafka_in_bytes"] / 1e6, 1),
                "kafka_out_MB_per_s": out,
            }
        )
    return found


def points(memory: Part, ticks: Part, workers: Part) -> list[dict[str, Any]]:
    """What the model says of what was measured too."""
    small, large = memory.rows()[0], memory.rows()[-1]
    few, many = ticks.rows()[0], ticks.rows()[-1]
    one, two = workers.rows()
    return [
        {
            "point": f"bytes of {large['customers']:,} customers",
            "foretold": large["customers"] * small["bytes"],
            "measured": large["customers"] * large["bytes"],
        },
        {
            "point": f"us a tick among {many['customers']:,} silent",
            "foretold": round(few["p50_ms"] * 1_000),
            "measured": round(many["p50_ms"] * 1_000),
        },
        {
            "point": "events/s of two workers",
            "foretold": 2 * one["events_per_s"],
            "measured": two["events_per_s"],
        },
    ]
