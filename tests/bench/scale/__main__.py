"""Memory a customer, a tick's cost by who is silent, two workers beside one: make bench-scale.

Redis of its own on the first core, this process on the second; the workers with a broker of their own. Writes its parts
of docs/scale.md; a run of some parts leaves the others as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from processors.policy import load_policy
from sinks.store import Store
from tests.bench.driving import own_redis
from tests.bench.marked import ROOT, Part, kept, machine
from tests.bench.scale import memory, model, ticks, workers

PORT: Final = 21_770
POLICIES: Final = {"value and tiers": "policy-tiers.toml", "all rules": "policy.toml"}
CUSTOMERS: Final = 1_000_000
CACHE, ROUNDS = 50_000, 3
SILENT: Final = (10_000, 100_000, 1_000_000)
EVENTS: Final = 150_000
PAGE: Final = "scale.md"
MEASURED: Final = (Part(PAGE, "memory"), Part(PAGE, "ticks"), Part(PAGE, "workers"))

Rows = list[dict[str, Any]]


async def memories(store: Store) -> Rows:
    """Bytes a customer in Redis."""
    rows: Rows = []
    for name, file in POLICIES.items():
        policy = load_policy((ROOT / "infra" / file).read_text())
        rows.append({"what": f"CDNOW, {name}", **await memory.cdnow(store, policy)})
    policy = load_policy((ROOT / "infra" / POLICIES["value and tiers"]).read_text())
    rows.append({"what": "CDNOW's histories, value and tiers", **await memory.million(store, policy, CUSTOMERS)})
    return rows


async def residents(store: Store) -> Rows:
    """MiB of a worker's process."""
    policy = load_policy((ROOT / "infra" / POLICIES["value and tiers"]).read_text())
    return [await memory.resident(store, policy, CACHE, ROUNDS)]


async def silents(store: Store) -> Rows:
    """Milliseconds a tick."""
    return [await ticks.silent(store, number) for number in SILENT]


def divided() -> Rows:
    """Events a second of one worker and of two."""
    with tempfile.TemporaryDirectory(prefix="loyalty-scale-") as folder:
        return workers.measure(Path(folder), EVENTS)


def on_redis(measure: Callable[[Store], Awaitable[Rows]]) -> Rows:
    """With a Redis of its own, which does not sync what is only weighed."""

    async def go(url: str) -> Rows:
        store = Store(url, memory.KEYS, erase_key=b"bench")
        await store.redis.client.config_set("appendonly", "no")
        try:
            return await measure(store)
        finally:
            await store.close()

    with own_redis(PORT) as url:
        return asyncio.run(go(url))


PARTS: Final[dict[str, Callable[[], Rows]]] = {
    "resident": lambda: on_redis(residents),  # first: a process gives no memory back
    "memory": lambda: on_redis(memories),
    "ticks": lambda: on_redis(silents),
    "workers": divided,
    "model": lambda: model.rows(*MEASURED),
    "points": lambda: model.points(*MEASURED),
}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line a row, a column a field."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", f"|{'|'.join('---' for _ in names)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(_shown(row.get(name, '')) for name in names)} |" for row in rows)])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def main() -> int:
    """Measure the parts asked for and write each as it comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--print", action="store_true", help="leave docs/scale.md as it is")
    args = parser.parse_args()
    if unknown := sorted(set(args.parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in args.parts or PARTS:
        rows = PARTS[name]()
        print("\n".join(map(json.dumps, rows)), flush=True)
        if not args.print:
            Part(PAGE, name).write(f"{table(rows)}\n\n{machine()}\n\n{kept(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
