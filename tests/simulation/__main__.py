"""python -m tests.simulation --seeds 10000 [--seed N]: many seeds, or one with its history. Ends with one JSON line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.run import Outcome, run


def main() -> int:
    """0 where every seed held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds (%(default)s)")
    parser.add_argument("--seed", type=int, help="only this one, with its history")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    args = parser.parse_args()
    first, count = (args.first, args.seeds) if args.seed is None else (args.seed, 1)
    seeds = range(first, first + count)
    happened: Counter[str] = Counter()
    failed = 0
    for number, outcome in enumerate(_outcomes(seeds, args.jobs), 1):
        happened += outcome.happened
        if outcome.error is not None:
            failed += 1
            print(outcome.report(), file=sys.stderr, flush=True)
        if number % 500 == 0:
            print(f"{number:,} of {len(seeds):,} seeds, {failed} failed", file=sys.stderr, flush=True)
    print(json.dumps(_summary(len(seeds), happened, failed)))
    return 1 if failed else 0


def _outcomes(seeds: Sequence[int], jobs: int) -> Iterator[Outcome]:
    if len(seeds) == 1:
        yield run(seeds[0])
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, seeds, chunksize=20)


_MORE = ("duplicate", "late_copy", "redelivery", "fenced", "recovered", "compacted", "misplaced")


def _summary(seeds: int, happened: Counter[str], failed: int) -> dict[str, int]:
    return {
        "seeds": seeds,
        "crashes": sum(happened[name] for name in ("crash_before", "crash_after", "publisher_crash")),
        "rebalances": happened["rebalance"],
        "lost_replies": happened["lost_reply"],
        "zombies": happened["zombie"],
        "redis_rewinds": happened["redis_rewind"],
        "failed": failed,
        **{name: happened[name] for name in _MORE},
    }


if __name__ == "__main__":
    sys.exit(main())
