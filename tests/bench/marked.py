"""Parts of a documentation page that a bench writes: between `<!-- NAME -->` and `<!-- /NAME -->`, with its rows."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]


class Part:
    """The part `name` of the page docs/`page`."""

    def __init__(self, page: str, name: str) -> None:
        self.path, self.name = ROOT / "docs" / page, name

    def write(self, body: str) -> None:
        """Make it anew. ValueError if the page has no such part."""
        self.path.write_text(replaced(self.path.read_text(), self.name, body))
        print(f"wrote {self.name} of {self.path.relative_to(ROOT)}")

    def rows(self) -> list[dict[str, Any]]:
        """The rows with which it was made last."""
        return stored(self.path.read_text(), self.name)


def replaced(text: str, name: str, body: str) -> str:
    """`text` with the part `name` made anew. ValueError if it has none."""
    marked = re.compile(rf"(?s)(<!-- {name} -->\n).*?(<!-- /{name} -->)")
    if not marked.search(text):
        raise ValueError(f"the page has no part <!-- {name} -->")
    return marked.sub(lambda found: f"{found[1]}{body}\n{found[2]}", text)


def stored(text: str, name: str) -> list[dict[str, Any]]:
    """The rows with which the part `name` was made last."""
    found = re.search(rf"(?s)<!-- {name} -->.*?<!-- rows\n(.*?)-->.*?<!-- /{name} -->", text)
    return [json.loads(line) for line in found[1].splitlines()] if found else []


def kept(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a comment, from which a run of some of them makes the table of all."""
    return "<!-- rows\n" + "".join(f"{json.dumps(row)}\n" for row in rows) + "-->"


def machine() -> str:
    """On what, and when, it was measured, and whether others used the machine."""
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {os.cpu_count()} cores, "
        f"load {os.getloadavg()[2]:.1f} over the last quarter of an hour; a fixed loop of pure Python took "
        f"{reference_us():.3f} us a round."
    )


def reference_us() -> float:
    """A fixed piece of Python, so that runs on machines of other speed, or busy ones, can be compared: us a round."""
    best = 1e9
    for _ in range(7):
        began = time.process_time()
        total = 0
        for n in range(200_000):
            total += n & 7
        best = min(best, (time.process_time() - began) / 200_000 * 1e6)
    return best
