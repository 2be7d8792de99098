"""Logs for the core's properties: one order of events, cut into batches and ticked in many ways."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.oracle import whole
from tests.strategies import DAY_MS, Plain

HOUR_MS = 3_600_000


def with_relays(events: list[Plain]) -> list[Plain]:
    """What each purchase means for its referrer stands right behind it, as if relayed at once."""
    log: list[Plain] = []
    for event in events:
        log.append(event)
        referrer = event.get("referrer_id")
        if event["topic"] == "purchases" and event["kind"] == "SALE" and referrer not in (None, event["customer_id"]):
            log.append(whole.referral(event))
    return log


@st.composite
def ticks(draw: st.DrawFn, first: int, last: int) -> list[int]:
    """Instants of ticks up to `last`: none till the end, days or odd hours apart, here and there, each hour."""
    how = draw(st.sampled_from(("none", "days", "odd", "random", "hours")))
    if how == "days":
        return [*range(first - first % DAY_MS, last, DAY_MS), last]
    if how == "odd":
        step = draw(st.integers(5, 2000)) * HOUR_MS + draw(st.integers(0, 999))
        return [*range(first, last, step), last]
    if how == "random":
        return sorted({*draw(st.lists(st.integers(first, last), max_size=12)), last})
    if how == "hours":
        begin = draw(st.integers(first, last))
        return sorted({*range(begin, min(last, begin + 40 * DAY_MS), HOUR_MS), last})
    return [last]


@st.composite
def ordered(draw: st.DrawFn, events: list[Plain], last: int) -> list[Any]:
    """Events in order of time, ticks between them where they belong (events of an instant first), cut at random."""
    marks: list[Any] = draw(ticks(events[0]["occurred_at"] if events else 0, last))
    log = sorted([*events, *marks], key=lambda one: (one, 1) if isinstance(one, int) else (one["occurred_at"], 0))
    return draw(cuts(log))


@st.composite
def unordered(draw: st.DrawFn, events: list[Plain], last: int) -> list[Any]:
    """Events as they come; ticks anywhere, whatever was before them; a last one behind all."""
    log: list[Any] = list(events)
    for at in sorted(draw(st.lists(st.sampled_from([e["occurred_at"] for e in events] or [0]), max_size=6))):
        log.insert(
            draw(st.integers(0, len(log))), at + draw(st.sampled_from((0, 1, DAY_MS, 31 * DAY_MS, 366 * DAY_MS)))
        )
    return [*log, last]


@st.composite
def cuts(draw: st.DrawFn, log: list[Any]) -> list[Any]:
    """The same log with None where a batch ends: after each entry, nowhere, or here and there."""
    how = draw(st.sampled_from(("all", "none", "some", "some")))
    if how == "none":
        return log
    if how == "all":
        return [one for entry in log for one in (entry, None)]
    places = draw(st.sets(st.integers(0, len(log)), max_size=8))
    return [one for n, entry in enumerate(log) for one in ((None, entry) if n in places else (entry,))]
