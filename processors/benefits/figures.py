"""T9: the programme's figures of benefits, from facts alone, so that a new policy moves none of them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from processors.benefits.book import PREFIX
from processors.benefits.came_to import USED, bought, is_year, uses_of
from processors.customer import Customer


def count_benefits(counts: Counter[str], before: Customer | None, after: Customer | None) -> None:
    """Adds what changed between `before` and `after` (None: not there) to `counts`.

    benefits:<name>:<state>: entitlements of the last 400 days that buying earned; of what a tier gives those that were
    used. benefits_owed:<name>: what uses without a right were worth, minor units.
    """
    now, was = _figures(after), _figures(before)
    if now != was:
        for name in now.keys() | was.keys():
            counts[name] += now.get(name, 0) - was.get(name, 0)


_NONE: Final[dict[str, int]] = {}


def _figures(customer: Customer | None) -> dict[str, int]:
    if customer is None or customer.history.ledger is None:
        return _NONE
    ledger = customer.history.ledger
    uses, found = uses_of(ledger), Counter[str]()
    earned = {one.id: one for one in bought(ledger, uses, customer.now)}
    for one in earned.values():
        found[f"benefits:{one.benefit}:{one.state}"] += 1
        if one.owed * one.worth:
            found[f"benefits_owed:{one.benefit}"] += one.owed * one.worth
    for name in uses.keys() - earned.keys():
        benefit, _, year = name.removeprefix(PREFIX).partition(":")
        if is_year(year):
            found[f"benefits:{benefit}:{USED}"] += 1
    return found
