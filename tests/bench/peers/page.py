"""The table of the peers in docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tests.bench.marked import Part, kept, machine
from tests.bench.peers.systems import SYSTEMS

PEERS: Final = Part("performance.md", "peers")
_WHAT: Final = {system.name: system.what for system in SYSTEMS} | {"reference": "plain Python, no Kafka, no Redis"}
_ORDER: Final = ("reference", *(system.name for system in SYSTEMS))


def update(rows: Sequence[dict[str, Any]]) -> None:
    """The table of the peers: rows of this run, and those of earlier ones for systems not in it."""
    merged = {row["system"]: row for row in (*PEERS.rows(), *rows)}
    ordered = [merged[name] for name in _ORDER if name in merged]
    PEERS.write(f"{table(ordered)}\n\n{machine()}\n\n{kept(ordered)}")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line a system, the ratio to Kafka Streams exactly_once_v2 of the same table with it."""
    rates = {row["system"]: row["events_per_s"] for row in rows if "events_per_s" in row}
    beside = rates.get("kafka-streams-eos")
    lines = [
        "| system | what | events | events/s | of Kafka Streams eos | CPU us/event | peak MiB | guarantee | state |",
        "|---|---|---:|---:|---:|---:|---:|---|---|",
    ]
    for row in rows:
        name = row["system"]
        head = f"| `{name}` | {_WHAT[name]} | {row['events']:,} |"
        if "error" in row:
            lines.append(f"{head} not run | | | | {row['error'].splitlines()[0]} | |")
            continue
        ratio = f"{row['events_per_s'] / beside:.2f}" if beside and name != "reference" else ""
        cpu = f"{row['cpu_s'] / row['events'] * 1e6:.1f}"
        lines.append(
            f"{head} **{row['events_per_s']:,}** | {ratio} | {cpu} | {row['peak_mib'] or ''} | {row['guarantee']} | "
            f"`{row['state_sha256'][:12]}` |"
        )
    return "\n".join(lines)
