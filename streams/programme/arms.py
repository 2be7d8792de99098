"""M3, C8: what care is worth: those who get it against the control group, at the same moment and by the same rules."""

from __future__ import annotations

from collections.abc import Iterator

from processors.census import CARED, HELD, SQUARE_BITS
from streams.programme.estimate import Estimate, Sample, mean_difference, share_difference
from streams.programme.figure import Figure, figure
from streams.programme.sums import Sums

TOO_EARLY, PAYS, COSTS = "too early to tell", "pays", "costs more than it brings"
VERDICTS = (TOO_EARLY, PAYS, COSTS)


def arms(sums: Sums) -> Iterator[Figure]:
    """Both arms of those who have bought, and what care makes of it (M3): retention and contribution, the difference
    with its 95% interval; incremental contribution, what it cost, and the return on it. The hash that draws the control
    group knows nothing of a customer: what both would have brought and cost anyhow is the same, and falls out."""
    samples = {arm: _sample(sums, arm) for arm in (CARED, HELD)}
    for arm, sample in samples.items():
        kept, there = sums.stayed(arm)
        yield figure("loyalty_arm_customers", sample.number, arm=arm)
        yield figure("loyalty_arm_retention_ratio", kept / there if there else None, arm=arm)
        yield figure("loyalty_arm_contribution", sample.mean if sample.number else None, arm=arm)
    contribution = mean_difference(samples[CARED], samples[HELD])
    number = samples[CARED].number
    yield from _bounds("loyalty_care_retention_effect", share_difference(*sums.stayed(CARED), *sums.stayed(HELD)))
    yield from _bounds("loyalty_care_contribution_effect", contribution)
    yield from _bounds("loyalty_care_incremental_contribution", contribution and contribution.times(number))
    cost = _more(sums, "serve")
    yield figure("loyalty_care_cost", None if cost is None else cost * number)
    roi = contribution.value / cost if contribution is not None and cost is not None and cost > 0 else None
    yield figure("loyalty_care_return_ratio", roi)
    found = verdict(contribution)
    for one in VERDICTS:
        yield figure("loyalty_care_verdict", int(one == found), verdict=one)


def verdict(effect: Estimate | None) -> str:
    """What may be said of care by its effect on contribution: nothing while the interval covers zero (M3)."""
    if effect is None or not effect.settled:
        return TOO_EARLY
    return PAYS if effect.value > 0 else COSTS


def _sample(sums: Sums, arm: str) -> Sample:
    of = sums.of
    squares = (of("arm", arm, "squares_high") << SQUARE_BITS) + of("arm", arm, "squares_low")
    total = of("arm", arm, "margin") - of("arm", arm, "serve")
    return Sample(of("arm", arm, "customers"), total, squares)


def _more(sums: Sums, what: str) -> float | None:
    """By how much more one who is cared for has of `what` than one of the control group."""
    numbers = [(sums.of("arm", arm, what), sums.of("arm", arm, "customers")) for arm in (CARED, HELD)]
    if not all(number for _, number in numbers):
        return None
    (cared, those), (held, others) = numbers
    return cared / those - held / others


def _bounds(name: str, found: Estimate | None) -> Iterator[Figure]:
    for bound in ("value", "low", "high"):
        yield figure(name, None if found is None else getattr(found, bound), bound=bound)
