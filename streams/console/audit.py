"""The trail of what was done by the console: one log line an action, `loyalty.audit`, whatever LOYALTY_LOG says.

By whom: `act` or `read`, whose token it was (`act` too where none is asked for), and a short name of the session, which
is no address and not the cookie. Of a customer only the mark that the worker's log has as well (`sinks/marks.py`). The
log is the trail: ship it to where nobody of the console can change it.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Any, Final

from sinks.marks import Marks

log = logging.getLogger("loyalty.audit")
log.setLevel(logging.INFO)

DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"


class Audit:
    """key: LOYALTY_ERASE_KEY."""

    def __init__(self, key: str) -> None:
        self._marks = Marks(key.encode())

    def tell(self, action: str, outcome: str, role: str, session: str, customer: str = "", **where: Any) -> None:
        """where: topic, partition, offset of what was written or sent again."""
        told: dict[str, Any] = {"action": action, "outcome": outcome, "role": role, "session": short(session), **where}
        if customer:
            told["customer"] = self._marks.of(customer)
        log.info("%s: %s", action, outcome, extra=told)


def short(session: str) -> str:
    """A name of the session from which it cannot be made."""
    return sha256(session.encode("utf-8", "surrogateescape")).hexdigest()[:8]
