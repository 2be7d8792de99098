"""W4: the programme's figures of word of mouth, counted as customers come, are brought, and buy."""

from __future__ import annotations

from collections import Counter
from typing import Final

from processors.customer import Customer
from processors.kin import level_of
from processors.policy import Policy
from processors.risk import LOST, OK
from processors.word_of_mouth import referrer_of


def count_word_of_mouth(counts: Counter[str], before: Customer | None, after: Customer | None, policy: Policy) -> None:
    """Adds what changed between `before` and `after` (None: not there) to `counts` (W4).

    gained: customers who have bought; gained_referred: of them those whom another brought, and lost_referred: of these
    those who are lost; leads_referred: brought and have not bought; sales_referred: purchases of those brought;
    referrers: who brought others. Of each, with `:unhappy` behind it, those whose referrer (who themselves) is lost or
    not content, as far as known. referrals_refused:loop, :second: see `word_of_mouth`.
    """
    now, was = _figures(after, policy), _figures(before, policy)
    if now != was:
        for name in now.keys() | was.keys():
            counts[name] += now.get(name, 0) - was.get(name, 0)


_NOBODY: Final[dict[str, int]] = {}
_PLAIN: Final = {"gained": 1}


def _figures(customer: Customer | None, policy: Policy) -> dict[str, int]:
    if customer is None:
        return _NOBODY
    history = customer.history
    bought = history.first_purchase_at is not None
    if not (history.claims or history.refused or history.referred):
        return _PLAIN if bought else _NOBODY
    found = Counter[str]({"gained": 1} if bought else {})
    referrer = referrer_of(history, customer.id)
    if referrer is not None:
        known = history.kin.get(referrer)
        for sort in ("",) if known is None or known.level == OK else ("", ":unhappy"):
            found[f"gained_referred{sort}"] += bought
            found[f"leads_referred{sort}"] += not bought
            found[f"lost_referred{sort}"] += customer.told.level == LOST
            found[f"sales_referred{sort}"] += history.lifetime_purchases
    if history.referred:
        found["referrers"] += 1
        found["referrers:unhappy"] += level_of(customer, policy) != OK
    for name, one in history.refused.items():
        if one.named is not None:
            found[f"referrals_refused:{'loop' if one.by == name else 'second'}"] += 1
    return found
