"""Logs of a worker: one line a fact on stderr, `key=value` or JSON (LOYALTY_LOGS), by the standard library.

Fields that a caller names by `extra` (`partition`, `topic`, `offset`, and `customer`, a mark in place of the id) are
fields of the line in both forms.

Faust and aiokafka tell much that is no news (a rebalance in a dozen lines, an absent broker ten times a second):
of theirs only warnings pass, and the same one at most once in REPEAT_S.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Final, TextIO

from sinks.marks import Mark
from streams import visible

REPEAT_S: Final = 10.0

_CHATTY: Final = ("faust", "mode", "aiokafka", "asyncio")


FIELDS: Final = ("partition", "topic", "offset", "customer", "action", "outcome", "role", "session", "number")
"""What `extra` may name. A customer only by its mark: a log outlives an erase, and anything but a Mark is left out."""


def _facts(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, Any]:
    """The fields of one line, in their order; a traceback as one more field."""
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
    facts: dict[str, Any] = {"ts": stamp, "level": record.levelname.lower(), "logger": record.name}
    facts["msg"] = record.getMessage()
    facts |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
    if not isinstance(facts.get("customer"), Mark):
        facts.pop("customer", None)
    if record.exc_info:
        facts["error"] = formatter.formatException(record.exc_info)
    return facts


class LineFormatter(logging.Formatter):
    """`ts=2026-11-24T12:00:00.123Z level=info logger=loyalty.worker msg="…"`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        plain = ("ts", "level", "logger")
        facts = _facts(record, self).items()
        return " ".join(f"{name}={held if name in plain else _quoted(held)}" for name, held in facts)


class JsonFormatter(logging.Formatter):
    """The same as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        return _quoted(_facts(record, self))


def _quoted(held: Any) -> str:
    """As JSON, so on one line; what JSON leaves and a terminal would obey is escaped too."""
    return visible.one_line(json.dumps(held, ensure_ascii=False))


class OnceInAWhile(logging.Filter):
    """Passes a message of one wording and place once in REPEAT_S."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be told."""
        if not record.name.startswith(_CHATTY):
            return True
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now - self._told.get(place, -REPEAT_S) < REPEAT_S:
            return False
        self._told[place] = now
        return True


def set_up(level: str, stream: TextIO | None = None, form: str = "text") -> None:
    """Log to `stream` (default: stderr) from `level` on, for this process. form: text | json."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter())
    handler.addFilter(OnceInAWhile())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        chatty = logging.getLogger(name)
        chatty.handlers.clear()
        chatty.propagate = True
        chatty.setLevel(level if level == "DEBUG" else "WARNING")
    logging.getLogger("mode.timers").setLevel("ERROR")  # a timer that waits out an outage is no news
