"""python -m tests.fuzz --inputs 1000000 [--seed N]: many inputs, or one with what it is. Ends with one JSON line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.fuzz.run import Happened, Outcome, run, run_many

_CHUNK = 500


def main() -> int:
    """0 where all held for every input."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many inputs (%(default)s)")
    parser.add_argument("--seed", type=int, help="only this one, and what it is")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    args = parser.parse_args()
    if args.seed is not None:
        return _one(run(args.seed))
    seeds = range(args.first, args.first + args.inputs)
    total = Happened()
    for happened in _all(seeds, args.jobs):
        total.add(happened)
        for outcome in happened.failed:
            print(outcome.report(), file=sys.stderr, flush=True)
        if total.inputs % 50_000 < _CHUNK:
            print(f"{total.inputs:,} of {len(seeds):,} inputs, {len(total.failed)} failed", file=sys.stderr, flush=True)
    print(json.dumps(total.summary()))
    return 1 if total.failed else 0


def _one(outcome: Outcome) -> int:
    print(outcome.report(), file=sys.stderr)
    happened = Happened()
    happened.note(outcome)
    print(json.dumps(happened.summary()))
    return 1 if outcome.error else 0


def _all(seeds: Sequence[int], jobs: int) -> Iterator[Happened]:
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_many, chunks)


if __name__ == "__main__":
    sys.exit(main())
