"""What a customer counts for in the programme's figures (V4, V5, M1-M6), as differences in the partition's counters.

Each figure is a sum over the customers as they are, so it holds in any order of events and after erase, merge, unmerge
and rebuild. What depends on the policy of the day is kept with the customer as it was counted (`Counted`), so that what
goes is what came, whatever the policy is by then; the rest follows from the facts. An amount counts within plus and
minus `AMOUNT_MAX`, so that sums over millions stay within 64 bits.

Each customer has a row in each family (tier, class of value, month of joining, ...), which comes and goes as a whole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from processors.charge import CUSTOMERS, sort_of
from processors.customer import Counted, Customer
from processors.days import DAY_MS, Calendar
from processors.history import FIRST_DAY, WINDOW_DAYS, History, unpack_days
from processors.outlook import Outlook
from processors.risk import LOST
from processors.sketch import class_of

AMOUNT_MAX: Final = 1 << 43
"""Minor units: 88 billion of a currency with cents."""

LAYERS: Final = ("NONE", "HABIT", "PREFERENCE", "LOYAL")
CARED, HELD = "cared", "held"
"""The arms that return on care compares (M3): who gets care, and the control group."""

NTH_MAX: Final = 3
SQUARE_BITS: Final = 32
"""Squares are summed in two parts, each of which holds for millions of customers."""

_NEVER: Final = -2
"""Before every programme day."""

Numbers = tuple[int, ...]
Row = tuple[str, Numbers]
"""What a customer is counted under in a family, and the numbers counted."""
Pair = tuple[Customer | None, Customer | None]
"""A customer before and after."""


def counted(customer: Customer, seen: Outlook, held: bool, calendar: Calendar) -> Counted:
    """What figures count of `customer` that a later policy could not tell again. held: in the control group (C8)."""
    day = calendar.day_of(customer.now)
    days = unpack_days(customer.history.purchase_days)
    before = bisect_left(days, day - WINDOW_DAYS + 1 - FIRST_DAY)
    past = _NEVER if not before else days[before - 1] + FIRST_DAY
    return Counted(within_bounds(seen.worth.clv), LAYERS.index(seen.layer.layer), held, past)


def within_bounds(amount: int) -> int:
    """`amount` as sums count it."""
    return amount if -AMOUNT_MAX <= amount <= AMOUNT_MAX else AMOUNT_MAX if amount > 0 else -AMOUNT_MAX


def nth_purchase(before: History, after: History) -> tuple[tuple[str, int], ...]:
    """What the fold of one event adds to nth:<n> and nth_margin:<n>, n up to 3: purchases that were a customer's nth as
    they came, and their margin (M5); the first is a customer gained (M1). Never less, whatever becomes of them."""
    number = after.lifetime_purchases
    if number > NTH_MAX or number != before.lifetime_purchases + 1 or sort_of(after) != CUSTOMERS:
        return ()
    margin = within_bounds(after.lifetime_margin - before.lifetime_margin)
    return (f"nth:{number}", 1), (f"nth_margin:{number}", margin)


def count_census(counts: Counter[str], pairs: Iterable[Pair]) -> None:
    """Adds to `counts` what changed between the two of each pair (None: not there, or none of the customers).

    Rows are gathered first and summed at once: many customers of a batch move between the same few.
    """
    come, gone = (tuple(defaultdict[str, list[Numbers]](list) for _ in FAMILIES) for _ in range(2))
    for before, after in pairs:
        for left, held, old, new in zip(gone, come, rows(before), rows(after), strict=True):
            if old != new:
                if old is not None:
                    left[old[0]].append(old[1])
                if new is not None:
                    held[new[0]].append(new[1])
    for family, left, held in zip(FAMILIES, gone, come, strict=True):
        for found, sign in ((left, -1), (held, 1)):
            for row, numbers in found.items():
                for name, total in zip(_names(family, row), map(sum, zip(*numbers, strict=True)), strict=True):
                    if total:
                        counts[name] += sign * total


FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "in_tier": ("value", "margin", "serve", "equity"),
    "spread": ("customers", "value", "touches"),
    "worth": ("customers", "contribution"),
    "level": ("stake",),
    "all": ("active", "repeat", "again", "again_value", "prospects", "inquirers", "acquired", "acquisition", "touches"),
    "base": ("customers",),
    "arm": ("customers", "margin", "serve", "squares_high", "squares_low"),
    "first": ("customers",),
    "cohort": ("customers", "active", "lost", "value"),
    "layer": ("customers", "value"),
    "store": ("customers", "active", "value", "contribution", "lost"),
    "untouched": ("customers",),
}
"""Of each family the numbers that a row of it has; a counter is `<family>:<row>:<number>`.

in_tier: by tier; `serve` is the cost to serve, all of the last 365 days. spread: by class of value (`sketch`), of those
with any; touches: contacts by us. worth: by class of contribution. level: of risk; stake: what leaving would lose. all:
one row, "-"; active: bought within the window, repeat: more than once; again: more than once ever, and their value;
prospects: never bought, of them inquirers who asked within the window; acquired: bought, and winning them cost
something, acquisition: what it cost. base: `<arm>:<programme day>:<0 or 1>`, of those who bought before
the window the day on which they last did, and whether they bought within it. arm: of those who have bought. first: by
programme day of the first purchase. cohort: by its month. layer: of loyalty. store: of the last purchase. untouched:
`<tier>:<UTC day>` of the last touch by us, else of the first purchase, of those who may be cared for.
"""


@lru_cache(maxsize=1 << 14)
def _names(family: str, row: str) -> tuple[str, ...]:
    return tuple(f"{family}:{row}:{number}" for number in FAMILIES[family])


def rows(customer: Customer | None) -> tuple[Row | None, ...]:
    """The customer's row in each of `FAMILIES`, None where they are in none."""
    if customer is None or customer.counted is None:
        return _NOWHERE
    held, history, told = customer.counted, customer.history, customer.told
    value, margin, serve = history.value, history.margin, history.serve
    if not (
        -AMOUNT_MAX <= value <= AMOUNT_MAX
        and -AMOUNT_MAX <= margin <= AMOUNT_MAX
        and -AMOUNT_MAX <= serve <= AMOUNT_MAX
    ):
        value, margin, serve = within_bounds(value), within_bounds(margin), within_bounds(serve)
    contribution = margin - serve
    touches = sum(touch.direction == "OUT" for touch in history.touches) if history.touches else 0
    active, first = int(history.sales > 0), history.first_purchase_at
    in_tier = (told.tier, (value, margin, serve, held.clv))
    spread = (_text(class_of(value)), (1, value, touches)) if value > 0 else None
    worth = (_text(class_of(contribution)), (1, contribution)) if contribution > 0 else None
    level = (told.level, (max(held.clv, 0),))
    since = history.last_touch_at if history.last_touch_at is not None else first
    untouched = None if since is None or held.held else (_pair(told.tier, since // DAY_MS), _ONE)
    if first is None:
        asked = any(touch.kind == "INQUIRY" for touch in history.touches)
        everybody = ("-", (active, 0, 0, 0, 1, int(asked), 0, 0, touches))
        return in_tier, spread, worth, level, everybody, None, None, None, None, None, None, untouched
    again = int(history.lifetime_purchases > 1)
    cost = 0 if history.profile is None else history.profile.acquisition_cost
    arm, lost = HELD if held.held else CARED, int(told.level == LOST)
    square = contribution * contribution
    packed = history.purchase_days
    day = (packed[0] | packed[1] << 8) + FIRST_DAY
    return (
        in_tier,
        spread,
        worth,
        level,
        (
            "-",
            (active, int(history.sales > 1), again, again * value, 0, 0, int(cost > 0), within_bounds(cost), touches),
        ),
        None if held.past == _NEVER else (_base(arm, held.past, active), _ONE),
        (arm, (1, margin, serve, square >> SQUARE_BITS, square & ((1 << SQUARE_BITS) - 1))),
        (_text(day), _ONE),
        (_month(day), (1, active, lost, value)),
        (LAYERS[held.layer], (1, value)),
        None if history.last_store is None else (history.last_store, (1, active, value, contribution, lost)),
        untouched,
    )


_NOWHERE: Final[tuple[Row | None, ...]] = (None,) * len(FAMILIES)
_ONE: Final = (1,)
_text = lru_cache(maxsize=1 << 13)(str)


@lru_cache(maxsize=1 << 13)
def _pair(tier: str, day: int) -> str:
    return f"{tier}:{day}"


@lru_cache(maxsize=1 << 13)
def _base(arm: str, day: int, active: int) -> str:
    return f"{arm}:{day}:{active}"


@lru_cache(maxsize=1 << 13)
def _month(day: int) -> str:
    return Calendar.iso_day(day)[:7]
