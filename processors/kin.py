"""W2, W3: how who brought and who was brought stand, and what each tells the other's partition of it.

Whoever brought others tells them when they turn unhappy, are lost, or are well again: it raises the risk of those
brought (W3). Whoever was brought tells their referrer at each review what they are worth by then (W2). Neither answers,
so news travels one step; it follows arrival, and is as of the sender's last review.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from processors.customer import Customer
from processors.events import Standing
from processors.history import History
from processors.merging import own_facts
from processors.money import clamped, half_even
from processors.policy import Policy
from processors.risk import LOST, OK
from processors.signals import by_silence, unhappy
from processors.value import rhythm
from processors.word_of_mouth import referrer_of
from processors.worth import worth

UNHAPPY: Final = "UNHAPPY"


def level_of(customer: Customer, policy: Policy) -> str:
    """OK, UNHAPPY or LOST, as of the customer's last review."""
    if customer.told.level == LOST:
        return LOST
    day = policy.calendar.day_of(customer.now)
    return UNHAPPY if unhappy(customer.history, day, policy) else OK


def clv_of(customer: Customer, policy: Policy) -> int:
    """Expected contribution as of the customer's last review, minor units."""
    facts, day = customer.history, policy.calendar.day_of(customer.now)
    who = rhythm(facts.purchase_days)
    return worth(facts, who, 0.0 if who is None else by_silence(who, policy)(day)[0], day, policy).clv


def network_value(facts: History, own: int, policy: Policy) -> int:
    """`own` clv and the policy's share of the clv of those brought, one level deep, half even (W2)."""
    share, kin = policy.clv.network_share, facts.kin
    brought = sum(kin[name].clv for name in facts.referred if name in kin)
    return clamped(own + half_even(brought * share.numerator, share.denominator))


def has_kin(one: Customer) -> bool:
    """Whether anybody brought the customer, or was brought by them: else `news` has nothing."""
    return bool(one.history.claims or one.history.referred)


def news(before: Customer | None, after: Customer | None, policy: Policy) -> Iterator[Standing]:
    """What a customer's kin are to know once `before` has become `after` (None: not there)."""
    left = None if before is None else referrer_of(before.history, before.id)
    stays = after is not None and referrer_of(after.history, after.id) == left
    if before is not None and left is not None and not stays:
        yield _standing(left, after or before, OK, 0, brought=True)  # forgotten, or another's: nothing is expected
    if after is None:
        return
    history = after.history
    if not has_kin(after):
        return
    now = _seen(after, policy)
    was = None if before is None else _seen(before, policy)
    if now.referrer is not None and now != was:
        yield _standing(now.referrer, after, now.level, now.clv, brought=True)
    turned = now.level != (OK if was is None else was.level)
    knew = () if before is None or turned else before.history.referred
    parted = after.merge is not None and (before is None or before.merge != after.merge)
    for name in history.referred if turned or now.level != OK or parted else ():
        if name not in knew:
            yield _standing(name, after, now.level, now.clv, brought=False)


class _Seen(NamedTuple):
    """What others may have been told of somebody."""

    at: int
    level: str
    clv: int
    referrer: str | None


def _seen(one: Customer, policy: Policy) -> _Seen:
    return _Seen(one.now, level_of(one, policy), clv_of(one, policy), referrer_of(one.history, one.id))


def _standing(to: str, of: Customer, level: str, clv: int, *, brought: bool) -> Standing:
    name = _known_as(of, to, brought=brought)
    return Standing(
        event_id=f"{name}:{of.now}:{level}:{clv}",
        customer_id=to,
        occurred_at=of.now,
        level=level,
        clv=clv,
        referred_customer_id=name if brought else None,
        referrer_id=None if brought else name,
    )


def _known_as(of: Customer, to: str, *, brought: bool) -> str:
    """Under which of a customer's ids `to` brought them, or was brought by them: the one under which it came (D5)."""
    if of.merge is not None:
        for source, held in of.merge.parts.items():
            own = own_facts(of.history, of.merge)
            known = [to in ({name for _, name in one.claims} if brought else one.referred) for one in (own, held.facts)]
            if known == [False, True]:
                return source
    return of.id
