"""W1 through this project and its peers, side by side: make bench-peers, or python -m tests.bench.peers.

One broker and one Redis on the first core, each system alone on the second, one after the other. Every end state is
compared with plain Python's. Writes the table of docs/performance.md; a run of some systems keeps the others' rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.peers import page
from tests.bench.peers.run import Failed, measure
from tests.bench.peers.servers import servers
from tests.bench.peers.systems import SYSTEMS
from tests.bench.peers.work import digest, reference

REFERENCE = "reference"
NAMES = (REFERENCE, *(system.name for system in SYSTEMS))
DAILY = "-daily"
"""Rows with a tick a day take the longest, and have no peer: they are run where they are asked for."""


def main() -> int:
    """Run the systems asked for and write what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--events", type=int, default=1_200_000)
    parser.add_argument("--full-events", type=int, default=300_000, help="most for the systems with all rules on")
    parser.add_argument("--json", type=Path, help="also write a JSON line a system there")
    parser.add_argument("--print", action="store_true", help="leave docs/performance.md as it is")
    args = parser.parse_args()
    if unknown := sorted(set(args.systems) - set(NAMES)):
        parser.error(f"no such system: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    wanted = args.systems or [name for name in NAMES if not name.endswith(DAILY)]
    rows: list[dict[str, Any]] = []
    if REFERENCE in wanted:
        rows.append(plain(args.events))
        print(json.dumps(rows[-1]), flush=True)
    with tempfile.TemporaryDirectory(prefix="loyalty-peers-") as folder, servers(Path(folder)) as shared:
        for system in sorted(SYSTEMS, key=lambda one: one.capped):
            if system.name not in wanted:
                continue
            events = min(args.events, args.full_events) if system.capped else args.events
            try:
                rows.append(measure(system, shared, events))
            except (Failed, SystemExit, subprocess.CalledProcessError) as error:
                rows.append({"system": system.name, "events": events, "error": str(error)})
            print(json.dumps(rows[-1]), flush=True)
            if args.json:  # as they come: who stops a long run keeps them
                args.json.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    if not args.print:
        page.update(rows)
    return 1 if any("error" in row for row in rows) else 0


def plain(events: int) -> dict[str, Any]:
    """The row of plain Python: neither Kafka nor Avro nor Redis."""
    began, busy = time.perf_counter(), time.process_time()
    expected = reference(events)
    seconds = time.perf_counter() - began
    return {
        "system": REFERENCE,
        "events": events,
        "events_per_s": round(events / seconds),
        "guarantee": "none",
        "peak_mib": None,
        "state_sha256": digest(expected),
        "cpu_s": round(time.process_time() - busy, 1),
        "with_start_s": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
