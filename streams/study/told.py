"""R5: the alerts that a policy would have told of a history, by the reviews that a worker makes, each when due."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from processors import tier
from processors.days import DAY_MS
from processors.money import Unbookable
from processors.outputs import ChurnRisk
from processors.policy import Policy
from processors.risk import OK
from processors.step import Batch
from streams.replay import Histories
from streams.study.measures import Measured, early
from streams.study.reviews import Case, Protocol, Silence

_KEPT_MS: Final = 400 * DAY_MS


class AsTold(NamedTuple):
    """found, lead: of those who fell silent, as in `Row`, by what they had been told to be: WATCH, AT_RISK or LOST.
    alerted: share of the test's reviews that found them so. transitions: all of them, by name, over the history."""

    found: Measured
    lead: Measured
    alerted: float
    transitions: Mapping[str, int]


class _Told(NamedTuple):
    """By customer: days on which an alert was told, rising, and whether they were at risk from then on."""

    days: dict[str, list[int]]
    at_risk: dict[str, list[bool]]


def as_told(
    found: Histories, policy: Policy, protocol: Protocol, gone: Sequence[Silence], test: Sequence[Case]
) -> AsTold:
    """What `policy` as it stands would have told, its weights included, whatever they were fitted to."""
    told, transitions = _told(found, policy, protocol.end)
    leads = np.array([_lead(told, one, protocol.horizon) for one in gone], dtype=float)
    share, lead = early(leads, [one.customer_id for one in gone])
    alerted = sum(_at_risk(told, case.customer_id, case.day) for case in test) / len(test)
    return AsTold(share, lead, alerted, dict(sorted(transitions.items())))


def _told(found: Histories, policy: Policy, end: int) -> tuple[_Told, Counter[str]]:
    batch = Batch(dict.fromkeys(found.events), {}, tier.surroundings(policy), policy, horizon_ms=_KEPT_MS)
    for own in found.events.values():
        for event in own:
            try:
                batch.fold(event, None)
            except Unbookable:
                continue
    last = policy.calendar.midnight(end) - 1
    while not batch.settle(last, tuple(found.events)):
        pass
    told, transitions = _Told(defaultdict(list), defaultdict(list)), Counter[str]()
    for one in batch.changes().outputs:
        alert = one.output
        if isinstance(alert, ChurnRisk):
            transitions[alert.transition] += 1
            told.days[one.customer_id].append(policy.calendar.day_of(alert.at))
            told.at_risk[one.customer_id].append(alert.level != OK)
    return told, transitions


def _at_risk(told: _Told, customer_id: str, day: int) -> bool:
    """Whether they were held to be at risk by the end of `day`."""
    place = bisect_right(told.days.get(customer_id, []), day)
    return bool(place) and told.at_risk[customer_id][place - 1]


def _lead(told: _Told, one: Silence, horizon: int) -> float:
    """Days from the first alert of the silence to the end of the horizon; nan: none came before it."""
    for day in range(one.last + 1, one.last + horizon):
        if _at_risk(told, one.customer_id, day):
            return float(one.last + horizon - day)
    return np.nan
