"""What came of it: customers by tier with their value, the share of the top fifth, who rose and fell lately and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any, Final, NamedTuple

from processors.days import DAY_MS
from schemas import codec
from schemas.codec import BadRecord
from schemas.registry import Registered
from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, DEAD_LETTERS, PURCHASES, TICKS, TIER_CHANGES
from streams.reading import TopicReader

LATELY_DAYS: Final = 30
SHOWN: Final = 5
"""So many risers and fallers are named."""

TOP: Final = 0.2


class TierLine(NamedTuple):
    """One tier. customers_share, value_share: of all, 0 to 1; None where the whole is 0 or less."""

    tier: str
    customers: int
    customers_share: float | None
    value_365d: int
    value_share: float | None


class Moves(NamedTuple):
    """Changes of tier in the last `LATELY_DAYS` before the clock: how many, and the latest of them."""

    number: int
    latest: Sequence[Mapping[str, Any]]


def tiers(views: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[TierLine]:
    """A line for each tier, highest first; `names` lowest first, tiers that the policy no longer has at the end."""
    count: Counter[str] = Counter()
    value: Counter[str] = Counter()
    for seen in views:
        count[seen["tier"]] += 1
        value[seen["tier"]] += seen["value_365d"]
    everybody, all_value = count.total(), value.total()
    order = [*reversed(names), *sorted(set(count) - set(names))]
    return [
        TierLine(name, count[name], share(count[name], everybody), value[name], share(value[name], all_value))
        for name in order
    ]


class SegmentLine(NamedTuple):
    """One segment (V6), as the programme's counters have it; a customer may be in several. Shares: of all customers and
    of their value; None: there is none."""

    segment: str
    customers: int
    customers_share: float | None
    value_365d: int
    value_share: float | None


def segments(counts: Mapping[str, int], names: Sequence[str]) -> list[SegmentLine]:
    """A line for each of the policy's segments, in its order; the numbers of `loyalty kpi`."""
    everybody = sum(n for name, n in counts.items() if name.startswith("customers:"))
    value = sum(n for name, n in counts.items() if name.startswith("in_tier:") and name.endswith(":value"))
    lines = []
    for name in names:
        number, worth = (counts.get(f"segment:{name}:{what}", 0) for what in ("customers", "value"))
        lines.append(SegmentLine(name, number, share(number, everybody), worth, share(worth, max(value, 0))))
    return lines


class Untouched(NamedTuple):
    """C5, of one tier with `care_every_days`: the longest that one of its customers has been without a touch by us, in
    days, and how many of them have been for longer than the tier promises, with no reminder before them."""

    tier: str
    promised_days: int
    longest_days: int
    forgotten: int


def untouched(views: Iterable[Mapping[str, Any]], promised: Mapping[str, int]) -> list[Untouched]:
    """A line for each tier of `promised` (tier to days) that has customers who may be cared for, the control apart."""
    longest: Counter[str] = Counter()
    forgotten: Counter[str] = Counter()
    for seen in views:
        tier, since = seen["tier"], seen["last_touch_at"] or seen["first_purchase_at"]
        if tier not in promised or since is None or seen["holdout"] or seen["staff"]:
            continue
        days = (seen["as_of"] - since) // DAY_MS
        longest[tier] = max(longest[tier], days)
        forgotten[tier] += days > promised[tier] and not seen["open_reminders"]
    return [Untouched(tier, promised[tier], days, forgotten[tier]) for tier, days in longest.items()]


class RiskLine(NamedTuple):
    """One level of risk: how many customers, and what their leaving would lose (minor units)."""

    level: str
    customers: int
    value_at_stake: int


def risks(views: Iterable[Mapping[str, Any]], levels: Sequence[str]) -> list[RiskLine]:
    """A line for each level, in their order."""
    count: Counter[str] = Counter()
    stake: Counter[str] = Counter()
    for seen in views:
        count[seen["risk_level"]] += 1
        stake[seen["risk_level"]] += seen["value_at_stake"] or 0
    return [RiskLine(level, count[level], stake[level]) for level in levels]


def most_at_stake(views: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those on watch or at risk of whom most is at stake: whom to call first (R4)."""
    found = (seen for seen in views if seen["risk_level"] in ("WATCH", "AT_RISK"))
    return nlargest(SHOWN, found, key=lambda seen: (seen["value_at_stake"] or 0, seen["customer_id"]))


class WordOfMouth(NamedTuple):
    """W4. gained: customers who have bought, gained_share: the part of them whom another brought. leads: brought and
    have not bought; sales: purchases of those brought. referrers: who brought others; unhappy: of them those who are
    lost or not content. brought_each, sales_each: of one who is content. lost_share, lost_share_unhappy: of those
    brought by who is content and by who is not, the part that is lost; cost: customers lost beyond what the others'
    share would be. refused: claims that do not count, by reason. None where there is nothing to divide by."""

    gained: int
    gained_referred: int
    gained_share: float | None
    leads: int
    sales: int
    referrers: int
    unhappy: int
    brought_each: float | None
    sales_each: float | None
    lost_share: float | None
    lost_share_unhappy: float | None
    cost: float | None
    refused: Mapping[str, int]


def word_of_mouth(counts: Mapping[str, int]) -> WordOfMouth | None:
    """What old customers bring (W4); None where nobody has named anybody."""

    def of(name: str) -> tuple[int, int]:
        """(all, of the unhappy)."""
        return counts.get(name, 0), counts.get(f"{name}:unhappy", 0)

    (came, came_bad), (leads, leads_bad) = of("gained_referred"), of("leads_referred")
    (sales, sales_bad), (lost, lost_bad) = of("sales_referred"), of("lost_referred")
    referrers, unhappy = of("referrers")
    refused = {name.partition(":")[2]: n for name, n in counts.items() if name.startswith("referrals_refused:") and n}
    if not referrers and not came + leads and not refused:
        return None
    content = referrers - unhappy
    usual, bad = share(lost - lost_bad, came - came_bad), share(lost_bad, came_bad)
    gained = counts.get("gained", 0)
    return WordOfMouth(
        gained=gained,
        gained_referred=came,
        gained_share=share(came, gained),
        leads=leads,
        sales=sales,
        referrers=referrers,
        unhappy=unhappy,
        brought_each=share(came + leads - came_bad - leads_bad, content),
        sales_each=share(sales - sales_bad, content),
        lost_share=usual,
        lost_share_unhappy=bad,
        cost=None if usual is None or bad is None else (bad - usual) * came_bad,
        refused=dict(sorted(refused.items())),
    )


class Exits(NamedTuple):
    """X0-X2. lost: all exits so far; by reason, tier, store of the last purchase and employee in charge, most first.
    untouched: without a contact by us in the year before; complaining: with a complaint open; unpaid: before
    contribution had covered the acquisition cost. won_back, won_back_value: who came back, and what was at stake with
    them (minor units); attempts, cost: contacts with the lost, and what they cost (minor units)."""

    lost: int
    reasons: Mapping[str, int]
    tiers: Mapping[str, int]
    stores: Mapping[str, int]
    employees: Mapping[str, int]
    untouched: int
    complaining: int
    unpaid: int
    won_back: int
    won_back_value: int
    attempts: int
    cost: int


def exits(counts: Mapping[str, int]) -> Exits:
    """Who was lost, and why, and who came back (X0-X2)."""

    def by(prefix: str) -> dict[str, int]:
        found = Counter({name[len(prefix) :]: n for name, n in counts.items() if name.startswith(prefix) and n})
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    reasons = by("lost:")
    names = ("lost_untouched", "lost_complaining", "lost_unpaid", "won_back", "won_back_value")
    told = [counts.get(name, 0) for name in (*names, "win_back:attempts", "win_back:cost")]
    return Exits(sum(reasons.values()), reasons, by("lost_from:"), by("lost_at:"), by("lost_of:"), *told)


class CareLine(NamedTuple):
    """One kind of care so far (C2, C4, C8): reminders by status, and causes that never went by what held them back.
    in_time: of the reminders that ended FULFILLED or EXPIRED the part that was fulfilled; None: none has."""

    kind: str
    status: Mapping[str, int]
    dropped: Mapping[str, int]
    in_time: float | None


def care(counts: Mapping[str, int]) -> list[CareLine]:
    """A line for each kind of which anything has come, by name."""
    status: dict[str, Counter[str]] = {}
    dropped: dict[str, Counter[str]] = {}
    for name, number in counts.items():
        family, _, rest = name.partition(":")
        kind, _, what = rest.partition(":")
        if number and family in ("care", "care_dropped"):
            (status if family == "care" else dropped).setdefault(kind, Counter())[what] += number
    lines = []
    for kind in sorted(status.keys() | dropped.keys()):
        held = status.get(kind, Counter())
        done, late = held["FULFILLED"], held["EXPIRED"]
        lines.append(CareLine(kind, dict(held), dict(dropped.get(kind, Counter())), share(done, done + late)))
    return lines


class BenefitLine(NamedTuple):
    """One benefit (T9): entitlements that views show, by state; left: how often they can be used in all; owed: what was
    used without a right, minor units."""

    benefit: str
    states: Mapping[str, int]
    left: int
    owed: int


def benefits(views: Iterable[Mapping[str, Any]]) -> list[BenefitLine]:
    """A line for each benefit that anybody has, by name."""
    states: dict[str, Counter[str]] = {}
    left: Counter[str] = Counter()
    owed: Counter[str] = Counter()
    for seen in views:
        for one in seen["entitlements"] or ():
            name = one["benefit"]
            states.setdefault(name, Counter())[one["state"]] += 1
            left[name] += one["left"]
            owed[name] += one["owed"] * one["worth"]
    return [BenefitLine(name, dict(states[name]), left[name], owed[name]) for name in sorted(states)]


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`; None where that says nothing."""
    return part / whole if whole > 0 else None


def top_share(values: Iterable[int], top: float = TOP) -> float | None:
    """The share of all value that the `top` share of customers bring, the best of them first; at least one customer."""
    best = sorted(values, reverse=True)
    return share(sum(best[: max(1, round(len(best) * top))]), sum(best))


def moves(reader: TopicReader, clock: int | None, registered: Registered | None = None) -> dict[str, Moves]:
    """By direction, UP and DOWN, the changes of tier lately. registered: what a schema registry tells."""
    count: Counter[str] = Counter()
    changes: list[dict[str, Any]] = []
    since = -1 if clock is None else clock - LATELY_DAYS * DAY_MS
    for record in reader.stream(TIER_CHANGES, from_beginning=True, until_end=True):
        try:
            change = codec.read(TIER_CHANGES, record.value, registered)
        except BadRecord:
            continue  # nothing but ours is on this topic
        if change["at"] > since:
            count[change["direction"]] += 1
            changes.append(change)
    return {
        direction: Moves(
            count[direction],
            nlargest(SHOWN, (one for one in changes if one["direction"] == direction), key=_rank),
        )
        for direction in ("UP", "DOWN")
    }


def _rank(change: Mapping[str, Any]) -> tuple[int, int, str]:
    return change["at"], change["value_365d"], change["event_id"]


def records(reader: TopicReader) -> dict[str, int]:
    """How many records each topic that people ask about holds."""
    return {topic: reader.count(topic) for topic in (PURCHASES, CONTACTS, COMPLAINTS, CUSTOMERS, TICKS)}


def dead_letters(reader: TopicReader) -> dict[str, int]:
    """Dead letters by error class, most first."""
    count: Counter[str] = Counter()
    for record in reader.stream(DEAD_LETTERS, from_beginning=True, until_end=True):
        count[dict(record.headers).get("dlq.error", b"").decode()] += 1
    return dict(count.most_common())
