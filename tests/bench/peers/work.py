"""W1: what every system does, what must come out of it, and the policies with which this project does it.

Of each purchase: decode, the sum and count of the 365 days that end with it, the tier by four thresholds. The end state
is each customer's as of their own last purchase: so it is without a clock, which no peer has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from processors.days import DAY_MS
from streams.datasets import repeated_cdnow

ROOT: Final = Path(__file__).resolve().parents[3]
WINDOW_DAYS: Final = 365
TIERS: Final = {"member": 0, "bronze": 5_000, "silver": 15_000, "gold": 40_000, "platinum": 100_000}


class Row(NamedTuple):
    """Of one customer's hash. value: minor units; last: ms."""

    value: int
    count: int
    tier: str
    last: int


Rows = Mapping[str, Row]


@cache
def reference(events: int, clock_day: int | None = None) -> Rows:
    """What must come out, in plain Python that knows no fold: all purchases of each customer, then one sum over the
    window. clock_day: the day (since 1970) on which every window ends; None: with each customer's last purchase."""
    bought: dict[str, list[tuple[int, int]]] = {}
    for event in repeated_cdnow(events):
        amount = sum(line.net_amount for line in event.lines)
        bought.setdefault(event.customer_id, []).append((event.occurred_at, amount))
    return {customer: _row(purchases, clock_day) for customer, purchases in bought.items()}


def _row(purchases: list[tuple[int, int]], clock_day: int | None) -> Row:
    last = max(at for at, _ in purchases)
    day = last // DAY_MS if clock_day is None else clock_day
    window = [amount for at, amount in purchases if day - WINDOW_DAYS < at // DAY_MS <= day]
    value = sum(window)
    return Row(value, len(window), max((name for name in TIERS if TIERS[name] <= value), key=TIERS.__getitem__), last)


def digest(rows: Rows) -> str:
    """Of the sorted end state: id, value, count and tier, a line a customer."""
    made = hashlib.sha256()
    for customer in sorted(rows):
        value, count, tier, _ = rows[customer]
        made.update(f"{customer}\t{value}\t{count}\t{tier}\n".encode())
    return made.hexdigest()


def wrong(rows: Rows, expected: Rows) -> Iterator[str]:
    """What is not as it must be, a line a customer."""
    for customer in sorted(rows.keys() | expected.keys()):
        have, want = rows.get(customer), expected.get(customer)
        if have != want:
            yield f"{customer}: {have}, must be {want}"


def _tiers(extra: Mapping[str, str]) -> str:
    made = ""
    for name, least in TIERS.items():
        condition = f"min_value_365d = {least}\n" if least else ""
        made += f'[[tiers]]\nname = "{name}"\n{condition}{extra.get(name, "")}\n'
    return made + "[tier_rules]\ngrace_days = 0\n\n"


def policy_w1() -> str:
    """Value and tiers alone."""
    return (
        '[programme]\nname = "w1"\nversion = 1\ncurrency = "USD"\nfigures = false\n\n'
        + _tiers({})
        + ("[risk]\nassess = false\n\n[loyalty]\nlayers = false\n")
    )


def policy_full() -> str:
    """The shipped policy with every rule it has, its tiers by W1's thresholds and without a grace."""
    shipped = (ROOT / "infra" / "policy.toml").read_text()
    care = {
        "silver": 'care_every_days = 180\nbenefits = ["free delivery"]\n',
        "gold": 'care_every_days = 90\nbenefits = ["free delivery", "early sale"]\n',
        "platinum": 'care_every_days = 45\nbenefits = ["free delivery", "early sale", "personal adviser"]\n',
    }
    club = '[club]\nfloor_tier = "bronze"\nmin_lifetime_value = 500_000\n\n'
    made, times = re.subn(
        r"(?ms)^\[\[tiers\]\].*?(?=^\[\[benefits\]\])", lambda _: _tiers(care) + club, shipped, count=1
    )
    assert times == 1, "infra/policy.toml no longer has its tiers before its benefits"
    return made
