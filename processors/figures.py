"""The programme's figures that a change of one customer moves: what was counted of them goes, what counts now comes.

Each is a sum over the customers as they are, so it holds whatever order events come in, and is counted anew when a
partition comes back from Kafka. What happens once, as exits and reminders do, is counted as it happens (`step`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from processors.benefits.figures import count_benefits
from processors.capitals import count_capitals
from processors.care.people import held_out
from processors.census import Pair, count_census, counted
from processors.charge import CUSTOMERS, sort_of
from processors.complaints import count_complaints
from processors.customer import Customer
from processors.outlook import Outlook
from processors.owners import count_owners, owner_counted
from processors.policy import Policy
from processors.referrals import count_word_of_mouth
from processors.segments import count_segments, order_class, segments_of


def count(counts: Counter[str], pairs: Sequence[Pair], policy: Policy) -> None:
    """Add to `counts` what changed between the two of each pair, None: not there. Customers by tier and by level of
    risk; the census (V4, V5, M); capitals (V7); segments (V6); those in charge (E1); word of mouth (W4);
    complaints (K4); benefits (T9).
    Those who serve are in no figure of customers; their complaints count. An id that is merged counts where its facts
    are (D5): merged, and merges_refused:self, :loop, :size."""
    customers = []
    for before, after in pairs:
        if (before is None or _is_plain(before)) and (after is None or _is_plain(after)):
            _count_told(counts, before, after)
            count_word_of_mouth(counts, before, after, policy)
        else:
            customers.append(_of_customers(counts, before, after))
    for before, after in customers:
        _count_told(counts, before, after)
        count_capitals(counts, before, after)
        count_segments(counts, before, after)
        count_owners(counts, before, after)
        count_word_of_mouth(counts, before, after, policy)
        count_benefits(counts, before, after)
    count_census(counts, [pair for pair in customers if _is_summed(pair[0]) or _is_summed(pair[1])])


def _is_plain(one: Customer) -> bool:
    """Whether the customer counts by tier, level of risk and word of mouth, and for nothing else: nearly everybody
    under a policy that keeps no sums."""
    history = one.history
    return (
        one.counted is None
        and one.merge is None
        and history.profile is None
        and not (history.complaints or one.told.care.open)
        and history.ledger is None
        and history.place is None
        and history.service is None
    )


def _of_customers(counts: Counter[str], before: Customer | None, after: Customer | None) -> Pair:
    """The pair as figures of customers see it; counts merges and complaints, which are of others, too."""
    if (before is not None and before.merge is not None) or (after is not None and after.merge is not None):
        for one, number in ((before, -1), (after, 1)):
            merge = None if one is None else one.merge
            if merge is not None and (merge.into or merge.refused):
                counts["merged" if merge.into else f"merges_refused:{merge.refused}"] += number
        before, after = shown(before), shown(after)
    if before is not None or after is not None:
        count_complaints(counts, before, after)
    return _of_a_customer(counts, before, -1), _of_a_customer(counts, after, 1)


def _of_a_customer(counts: Counter[str], one: Customer | None, sign: int) -> Customer | None:
    """`one` where it is a customer. Counts an employee who has a grade (E2), by grade and by name."""
    if one is None or sort_of(one.history) == CUSTOMERS:
        return one
    service = one.history.service
    if service is not None:
        if one.told.tier:
            counts[f"grade:{one.told.tier}"] += sign
        counts[f"graded:{service.served.employee_id}"] += sign
    return None


def _count_told(counts: Counter[str], one: Customer | None, other: Customer | None) -> None:
    before, after = None if one is None else one.told, None if other is None else other.told
    if before is after:
        return
    for kind, was, now in (
        ("customers", None if before is None else before.tier, None if after is None else after.tier),
        ("risk", None if before is None else before.level, None if after is None else after.level),
    ):
        if was != now:
            if was is not None:
                counts[f"{kind}:{was}"] -= 1
            if now is not None:
                counts[f"{kind}:{now}"] += 1


def _is_summed(customer: Customer | None) -> bool:
    """Whether sums hold the customer: nobody where the policy keeps none."""
    return customer is not None and customer.counted is not None


def shown(customer: Customer | None) -> Customer | None:
    """The customer, None where there is none, or they are merged into another and count there (D5)."""
    return None if customer is None or customer.moved_to is not None else customer


def is_counted(customer: Customer) -> bool:
    """Whether the programme's sums count the customer: one of the customers, under their own id (E3, K5, D5)."""
    return customer.moved_to is None and sort_of(customer.history) == CUSTOMERS


def with_counted(customer: Customer, seen: Outlook, policy: Policy) -> Customer:
    """The customer as they are committed: with what `count` counts of them. seen: as of their last review."""
    held = held_out(policy.programme.name, customer.id, policy.programme.holdout)
    made = counted(customer, seen, held, policy.calendar)
    if policy.segments:
        made = replace(made, segments=segments_of(customer, policy, seen), order=order_class(customer.history, policy))
    profile = customer.history.profile
    if profile is not None and profile.employee_id is not None:
        made = replace(made, owner=owner_counted(customer))
    return Customer(
        customer.id, customer.history, customer.told, customer.now, customer.next_review, customer.context,
        customer.merge, made,
    )  # fmt: skip
