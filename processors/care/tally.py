"""K0, K4, E1: what is counted of a reminder as it is told: its status, whether a promise was kept, who was in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from processors.care.look import HOUR_MS
from processors.care.promises import promised
from processors.care.sections import Care
from processors.outputs import CareReminder

KEPT, LATE, BROKEN = "kept", "late", "broken"
HOURS: Final = (1, 4, 8, 24, 72, 168, 720)
"""Upper bounds of the classes by which times to reply and to resolve are counted; what lies above has its own."""
ABOVE: Final = "above"


def tallies(told: CareReminder, care: Care | None) -> Iterator[tuple[str, int]]:
    """(name, 1) of each counter that `told` moves. care: its kind; None: the policy has it no more.

    `care:KIND:STATUS`. Of what ended by being done, or not: `in_time:EMPLOYEE` or `missed:EMPLOYEE`,
    of whose it was before it was escalated. Of a promise, by
    kind, store and employee: `kept`, `late` or `broken`, as in `kept:kind:COMPLAINT_REPLY`, and `in_target` of those
    kept within the inner target. Of a reply to a complaint, by what it was about, store and severity: its class of
    hours, as in `reply_le_24:about:DELIVERY`.
    """
    yield f"care:{told.kind}:{told.status}", 1
    done = told.status == "FULFILLED"
    if care is None or not (done or told.status == "EXPIRED"):
        return
    late = told.done_at is not None and care.shape == "promise" and told.done_at > told.due_at
    if told.owed_by is not None:
        yield f"{'in_time' if done and not late else 'missed'}:{told.owed_by}", 1
    if care.shape == "promise":
        how = BROKEN if told.done_at is None else KEPT if told.done_at <= told.due_at else LATE
        early = told.done_at is not None and told.target_at is not None and told.done_at <= told.target_at
        for sort, name in (("kind", told.kind), ("store", told.store_id), ("employee", told.owed_by)):
            if name is not None:
                yield f"{how}:{sort}:{name}", 1
                if early:
                    yield f"in_target:{sort}:{name}", 1
        if promised(care) == "complaint" and told.done_at is not None:
            since = told.due_at - int(told.usual) * HOUR_MS
            taken = hours_class(told.done_at - since)
            for sort, name in (("about", told.what), ("store", told.store_id), ("severity", f"{told.have:.0f}")):
                if name is not None:
                    yield f"reply_le_{taken}:{sort}:{name}", 1


def hours_class(span_ms: int) -> str:
    """The class of a time to reply or to resolve (ms).

    >>> hours_class(24 * 3_600_000), hours_class(24 * 3_600_000 + 1), hours_class(10**10)
    ('24', '72', 'above')
    """
    return next((str(hours) for hours in HOURS if span_ms <= hours * HOUR_MS), ABOVE)
