"""Parts of docs/performance.md that a bench writes: between `<!-- NAME` and `<!-- /NAME -->`, with its rows as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests.bench.__main__ import reference_us
from tests.bench.peers.systems import SYSTEMS
from tests.bench.peers.work import ROOT

DOC: Final = ROOT / "docs" / "performance.md"
_WHAT: Final = {system.name: system.what for system in SYSTEMS} | {"reference": "plain Python, no Kafka, no Redis"}
_ORDER: Final = ("reference", *(system.name for system in SYSTEMS))


def replaced(text: str, name: str, body: str) -> str:
    """`text` with the part `name` made anew. ValueError if it has none."""
    marked = re.compile(rf"(?s)(<!-- {name} -->\n).*?(<!-- /{name} -->)")
    if not marked.search(text):
        raise ValueError(f"{DOC.relative_to(ROOT)} has no part <!-- {name} -->")
    return marked.sub(lambda found: f"{found[1]}{body}\n{found[2]}", text)


def stored(text: str, name: str) -> list[dict[str, Any]]:
    """The rows with which the part `name` was made last."""
    found = re.search(rf"(?s)<!-- {name} -->.*?<!-- rows\n(.*?)-->.*?<!-- /{name} -->", text)
    return [json.loads(line) for line in found[1].splitlines()] if found else []


def kept(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a comment, from which a run of some systems makes the table of all."""
    return "<!-- rows\n" + "".join(f"{json.dumps(row)}\n" for row in rows) + "-->"


def machine() -> str:
    """On what, and when, it was measured."""
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {os.cpu_count()} cores; "
        f"a fixed loop of pure Python took {reference_us():.3f} us a round."
    )


def update(rows: Sequence[dict[str, Any]]) -> None:
    """The table of the peers: rows of this run, and those of earlier ones for systems not in it."""
    text = DOC.read_text()
    merged = {row["system"]: row for row in (*stored(text, "peers"), *rows)}
    ordered = [merged[name] for name in _ORDER if name in merged]
    body = f"{table(ordered)}\n\n{machine()}\n\n{kept(ordered)}"
    DOC.write_text(replaced(text, "peers", body))
    print(f"wrote {DOC.relative_to(ROOT)}")


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
