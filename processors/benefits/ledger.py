"""T9: what a sale, a return or a contact says of benefits, as facts to keep. The terms are those of its own policy."""

from __future__ import annotations

from collections import Counter

from processors.benefits.book import EMPTY, PREFIX, Earned, Ledger, Returned, Used, merged
from processors.events import Contact, Dated, Purchase
from processors.history import History
from processors.policy import Policy


def noted(history: History, event: Dated, policy: Policy) -> dict[str, Ledger]:
    """The field of `History` to replace; none for an event that is about no benefit. To be asked where the policy has
    benefits, or the customer has earned some."""
    held = history.ledger or EMPTY
    if type(event) is Purchase:
        sold = event.kind == "SALE"
        if not sold and event.original_event_id is None:
            return {}  # stands by itself (D2)
        earned = _earned(event, policy) if sold else ()
        returned = () if sold else _returned(event, held, policy)
        used = _used(event, event.coupon_ids, held, policy) if event.coupon_ids else ()
    elif type(event) is Contact and event.item is not None:
        if event.kind != "SERVICE" or event.direction != "IN":
            return {}
        earned, returned, used = (), (), _used(event, (event.item,), held, policy)
    else:
        return {}
    if not (earned or returned or used):
        return {}
    return {
        "ledger": Ledger(merged(held.earned, earned), merged(held.returned, returned), merged(held.used, used)),
    }


def is_benefit(coupon_id: str) -> bool:
    """Whether a coupon is an entitlement: earned, so no sign of one who buys with coupons alone (L3)."""
    return coupon_id.startswith(PREFIX)


def _earned(event: Purchase, policy: Policy) -> tuple[Earned, ...]:
    """What a sale earns: of each benefit whose measure it fills at least once."""
    found: list[Earned] = []
    for benefit in policy.benefits:
        buy = benefit.buy
        if buy is None:
            continue
        quantity, amount = measured(event, buy.category or "", policy)
        by_amount = buy.quantity is None
        bought, per = (amount if by_amount else quantity), (buy.amount or buy.quantity or 1)
        if bought >= per:
            at = event.occurred_at
            found.append(Earned(
                policy.calendar.day_of(at), at, event.event_id, benefit.name,
                policy.calendar.plus_days(at, benefit.expires_days or 0), buy.category or "", by_amount, bought, per,
                benefit.uses, benefit.worth or 0,
            ))  # fmt: skip
    return tuple(found)


def _returned(event: Purchase, held: Ledger, policy: Policy) -> tuple[Returned, ...]:
    """What a return brings back of what counts for a benefit, now or when its sale was folded, known or to come."""
    sale = event.original_event_id or ""
    day = policy.calendar.day_of(event.occurred_at)
    categories = {benefit.buy.category or "" for benefit in policy.benefits if benefit.buy is not None}
    categories.update(one.category for one in held.earned if one.sale == sale)
    found = ((category, *measured(event, category, policy)) for category in categories)
    # pieces of a return are what came back, whichever sign a till gives them
    return tuple(
        Returned(day, sale, category, abs(pieces), amount) for category, pieces, amount in found if pieces or amount
    )


def measured(event: Purchase, category: str, policy: Policy) -> tuple[int, int]:
    """(pieces, minor units of the programme's currency) of `category`, "": of all, converted as they are booked."""
    convert = None if event.currency == policy.programme.currency else policy.rates.convert
    quantity = amount = 0
    for line in event.lines:
        if not category or line.category == category:
            quantity += line.quantity
            amount += line.net_amount if convert is None else convert(line.net_amount, event.currency)
    return quantity, amount


def _used(event: Purchase | Contact, ids: tuple[str, ...], held: Ledger, policy: Policy) -> tuple[Used, ...]:
    """Uses of entitlements, by a sale or a contact; of a return, what it gives back to the sale it names."""
    times = Counter(one[len(PREFIX) :] for one in ids if one.startswith(PREFIX))
    if not times:
        return ()
    known = {benefit.name for benefit in policy.benefits} | {one.benefit for one in held.earned}
    by, sign = event.event_id, 1
    if type(event) is Purchase and event.kind != "SALE":
        by, sign = event.original_event_id or "", -1
    at = event.occurred_at
    day = policy.calendar.day_of(at)
    return tuple(
        Used(day, at, PREFIX + name, by, sign * n) for name, n in times.items() if name.partition(":")[0] in known
    )
