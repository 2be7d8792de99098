"""W4: the programme's figures of word of mouth, counted as customers come, are brought, and buy."""

from __future__ import annotations

from collections import Counter
from typing import Final

from processors.customer import Customer
from processors.word_of_mouth import referrer_of


def count_word_of_mouth(counts: Counter[str], before: Customer | None, after: Customer | None) -> None:
    """Adds what changed between `before` and `after` (None: not there) to `counts` (W4).

    gained: customers who have bought; gained_referred: of them those whom another brought; leads_referred: brought and
    have not bought; sales_referred: purchases of those brought; referrals_refused:loop, :second: see `word_of_mouth`.
    """
    now, was = _figures(after), _figures(before)
    if now != was:
        for name, have, had in zip(_NAMES, now, was, strict=True):
            if have != had:
                counts[name] += have - had


_NAMES: Final = (
    "gained",
    "gained_referred",
    "leads_referred",
    "sales_referred",
    "referrals_refused:loop",
    "referrals_refused:second",
)
_NOBODY: Final = (0, 0, 0, 0, 0, 0)
_PLAIN: Final = (1, 0, 0, 0, 0, 0)


def _figures(customer: Customer | None) -> tuple[int, ...]:
    if customer is None:
        return _NOBODY
    history = customer.history
    bought = history.first_purchase_at is not None
    if not history.claims and not history.refused:
        return _PLAIN if bought else _NOBODY
    brought = referrer_of(history, customer.id) is not None
    refused = [one.by == name for name, one in history.refused.items() if one.named is not None]
    return (
        int(bought),
        int(brought and bought),
        int(brought and not bought),
        history.lifetime_purchases if brought else 0,
        sum(refused),
        len(refused) - sum(refused),
    )
