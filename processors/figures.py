"""The programme's figures that a change of one customer moves: what was counted of them goes, what counts now comes.

Customers by tier and level, and word of mouth, are sums over the customers as they are: they hold whatever order
events come in, and are counted anew when a partition comes back from Kafka. Exits and who came back are counted as
they happen, and a customer keeps the last one alone: where all of Redis was lost, the earlier ones are gone.
"""

from __future__ import annotations

from collections import Counter

from processors.customer import Customer
from processors.exits import count_exit
from processors.policy import Policy
from processors.referrals import count_word_of_mouth


def count(counts: Counter[str], before: Customer | None, after: Customer | None, policy: Policy) -> None:
    """Add to `counts` what changed between `before` and `after`, None: not there. Customers by tier and by level of
    risk; exits by reason and tier, those that nobody had touched, and who came back (X0-X2); word of mouth (W4)."""
    held, holds = (None if one is None else one.told for one in (before, after))
    for kind, was, now in (
        ("customers", None if held is None else held.tier, None if holds is None else holds.tier),
        ("risk", None if held is None else held.level, None if holds is None else holds.level),
    ):
        if was != now:
            if was is not None:
                counts[f"{kind}:{was}"] -= 1
            if now is not None:
                counts[f"{kind}:{now}"] += 1
    gone, left = (None if told is None else told.exit for told in (held, holds))
    if left is not None and left != gone:
        count_exit(counts, gone, left)
    count_word_of_mouth(counts, before, after, policy)
