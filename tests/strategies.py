"""Hypothesis strategies: policies, events and histories as plain mappings with the contract's names.

What the strategies make is what the oracle takes; `event_of` and `policy_of` make of it what the core takes. Times are
drawn where they hurt: midnights of the programme to the millisecond, days on which clocks change, leap days, days a
window or a grace apart, many events at one instant.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from processors import events as core
from processors.policy import Policy, load_policy
from tests.oracle import dates

Plain = dict[str, Any]

DAY_MS = dates.DAY_MS
ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "America/Sao_Paulo", "Europe/London", "Pacific/Apia")
CATEGORIES = ("cd", "wine", "bread", "tea", "KÄSE")
CHANNELS = ("store", "phone", "mail", "app")
CURRENCIES = ("USD", "EUR", "JPY", "KWD")
RATES = "{ EUR = 1.085, JPY = 0.0065, KWD = 3.2575, USD = 1.5 }"
NAMES = ("member", "silver", "gold", "platinum")

# Days around which histories begin: a leap day, both changes of the clock, a year's end, the last year of Sao Paulo's.
_BEGINNINGS = (
    "2024-02-28",
    "2023-03-01",
    "2024-03-09",
    "2023-11-04",
    "2017-12-30",
    "2018-02-16",
    "2018-11-03",
    "2011-12-29",
)
# How far apart events lie, in days: next to each other, a grace, a window, and both.
_DISTANCES = (0, 0, 1, 2, 7, 29, 30, 31, 59, 60, 90, 180, 333, 334, 335, 363, 364, 365, 366, 394, 395, 396, 425, 730)

# -- policies


@st.composite
def policies(draw: st.DrawFn, zone: str | None = None, grace: int | None = None, falls: bool = False) -> str:
    """The text of a policy of one to four tiers: each asks more of one figure than the one below, and maybe others.
    falls: of value and purchases alone."""
    currency = draw(st.sampled_from(("USD", "USD", "EUR", "JPY")))
    rates = ", ".join(one for one in RATES.strip("{} ").split(", ") if not one.startswith(currency))
    days = draw(st.sampled_from((0, 1, 2, 30, 30, 60)) | st.integers(0, 60)) if grace is None else grace
    lines = [
        "[programme]",
        'name = "strategies"',
        f"version = {draw(st.integers(1, 9))}",
        f'currency = "{currency}"',
        f'time_zone = "{zone or draw(st.sampled_from(ZONES))}"',
        "[tier_rules]",
        f"grace_days = {days}",
        f"one_step_down = {draw(st.sampled_from(('true', 'false')))}",
        "[margin]",
        f"default_rate = {draw(st.sampled_from(('0.25', '0.3', '0.005', '1', '0.125')))}",
        "rates = { cd = 0.35, wine = 0.015 }",
        "[costs]",
        f"complaint = {draw(st.sampled_from((0, 150, 1500)))}",
        f"channels = {{ phone = {draw(st.sampled_from((0, 30, 300)))}, mail = 80 }}",
        f"[currencies]\nrates = {{ {rates} }}",
        *draw(_risks()),
    ]
    ladder = draw(_ladders(_FALLING if falls else _UNITS))
    return "\n".join(lines + draw(_clubs(ladder)) + ladder) + "\n"


_FALLING = {"value": 500, "purchases": 1}
_UNITS = {**_FALLING, "margin": 100, "contribution": 100, "categories": 1, "referrals": 1}


@st.composite
def _clubs(draw: st.DrawFn, ladder: list[str]) -> list[str]:
    """Now and then a club: by one condition or more, for any tier of the ladder."""
    if draw(st.integers(0, 2)):
        return []
    names = [line.partition(" = ")[2] for line in ladder if line.startswith("name")]
    ways = {
        "min_lifetime_value": draw(st.sampled_from((1, 500, 3000))),
        "min_years": draw(st.sampled_from((1, 1, 2, 4))),
        "min_lifetime_purchases": draw(st.sampled_from((1, 3, 6))),
    }
    given = draw(st.lists(st.sampled_from(sorted(ways)), min_size=1, unique=True))
    return ["[club]", f"floor_tier = {draw(st.sampled_from(names))}", *(f"{name} = {ways[name]}" for name in given)]


@st.composite
def _risks(draw: st.DrawFn) -> list[str]:
    """Mostly a table [risk] with other bounds and weights than the default ones, so that levels are crossed."""
    if draw(st.integers(0, 3)) == 0:
        return []
    watch = draw(st.sampled_from((0.2, 0.3, 0.45)))
    gaps, least = draw(st.sampled_from(((6.0, 90), (2.5, 10), (3.0, 45))))
    return [
        "[risk]",
        f'model = "{draw(st.sampled_from(("mbg_nbd", "bg_nbd")))}"',
        f"horizon_days = {draw(st.sampled_from((30, 60, 90)))}",
        f"watch = {watch}",
        f"at_risk = {watch + draw(st.sampled_from((0.1, 0.2)))}",
        f"ease = {draw(st.sampled_from((0.0, 0.05, 0.1)))}",
        f"fading = {draw(st.sampled_from((0.3, 0.6)))}",
        f"lost = {{ gaps = {gaps}, least_days = {least}, most_days = {draw(st.sampled_from((120, 365)))} }}",
        f"typical_value_365d = {draw(st.sampled_from((0, 500, 3000)))}",
        "[risk.weights]",
        f"rare = {draw(st.sampled_from((0.0, 0.4)))}",
        f"few_lately = {draw(st.sampled_from((0.0, 0.4)))}",
        f"small_spend = {draw(st.sampled_from((0.0, 0.5)))}",
        f"intercept = {draw(st.sampled_from((-2.2, -1.0, -3.0)))}",
        f"narrowing = {draw(st.sampled_from((0.3, -0.5)))}",
        f"open_complaint = {draw(st.sampled_from((0.8, 3.0)))}",
        f"tier_falling = {draw(st.sampled_from((0.2, 2.0)))}",
    ]


@st.composite
def _ladders(draw: st.DrawFn, units: dict[str, int]) -> list[str]:
    names = NAMES[: draw(st.integers(1, 4) | st.just(3))]
    often = ("value", "value", "value", "purchases", "margin", "contribution", "contribution")
    climbs = draw(st.sampled_from([unit for unit in often if unit in units]))
    step = draw(st.integers(1, 3)) * units[climbs]
    lines = []
    for rank, name in enumerate(names):
        lines += ["[[tiers]]", f'name = "{name}"']
        if not rank:
            continue
        lines.append(f"min_{climbs}_365d = {step * rank}")
        for other in draw(
            st.lists(st.sampled_from([unit for unit in units if unit != climbs]), max_size=2, unique=True)
        ):
            lines.append(f"min_{other}_365d = {draw(st.integers(0, 2)) * units[other]}")
        lines.append(f'benefits = ["{name} gift"]' if draw(st.booleans()) else "care_every_days = 90")
    return lines


@lru_cache(maxsize=4096)
def policy_of(text: str) -> Policy:
    """The policy as the core has it."""
    return load_policy(text)


@lru_cache(maxsize=4096)
def parsed(text: str) -> Plain:
    """The policy as the oracle takes it: plain TOML, rates exact."""
    return tomllib.loads(text, parse_float=Decimal)


# -- instants


@st.composite
def instants(draw: st.DrawFn, zone: str) -> int:
    """An instant of about three years, mostly one that hurts."""
    day = draw(st.sampled_from(_BEGINNINGS).map(lambda text: dates.date.fromisoformat(text).toordinal()))
    day += draw(st.sampled_from(_DISTANCES) | st.integers(0, 800))
    return dates.midnight(day, zone) + draw(_OF_DAY)


_OF_DAY = st.sampled_from((0, 0, -1, 1, 3_600_000, 5_400_000, 9_000_000, 12 * 3_600_000)) | st.integers(0, DAY_MS - 1)


@st.composite
def times(draw: st.DrawFn, zone: str, least: int = 1, most: int = 12) -> list[int]:
    """The times of a history, in order: from a beginning on, by distances of days, sometimes several at one instant."""
    day = draw(st.sampled_from(_BEGINNINGS).map(lambda text: dates.date.fromisoformat(text).toordinal()))
    found: list[int] = []
    for _ in range(draw(st.integers(least, most))):
        if found and draw(st.integers(0, 5)) == 0:
            found.append(found[-1])
            continue
        day += draw(st.sampled_from(_DISTANCES)) if draw(st.booleans()) else draw(st.integers(0, 40))
        found.append(dates.midnight(day, zone) + draw(_OF_DAY))
    return sorted(found)


# -- events, without id, customer and time, which the history gives them

_amounts = st.sampled_from((0, 1, 2, 3, 50, 99, 100, 250, 499, 500, 501, 1000)) | st.integers(0, 3000)
_lines = st.fixed_dictionaries(
    {
        "category": st.sampled_from(CATEGORIES),
        "quantity": st.integers(-3, 20),
        "net_amount": _amounts,
        "cost": st.none() | _amounts,
    }
)


@st.composite
def _purchases(draw: st.DrawFn, others: tuple[str, ...]) -> Plain:
    return {
        "topic": "purchases",
        "kind": draw(st.sampled_from(("SALE", "SALE", "SALE", "RETURN"))),
        "currency": draw(st.sampled_from(("USD", "USD", *CURRENCIES))),
        "lines": draw(st.lists(_lines, max_size=3)),
        "store_id": draw(st.sampled_from(("s1", "s2"))),
        "referrer_id": draw(st.none() | st.sampled_from(others)) if others else None,
    }


@st.composite
def _complaints(draw: st.DrawFn) -> Plain:
    return {
        "topic": "complaints",
        "complaint_id": draw(st.sampled_from(("c1", "c2"))),
        "status": draw(st.sampled_from(("OPENED", "OPENED", "UPDATED", "RESOLVED", "REOPENED"))),
        "severity": draw(st.integers(1, 5)),
        "about": draw(st.sampled_from(("PRODUCT", "SERVICE", "OTHER"))),
        "satisfaction": draw(st.none() | st.integers(1, 5)),
        "compensation": draw(st.sampled_from((0, 0, 100, 1000))),
    }


@st.composite
def _contacts(draw: st.DrawFn, others: tuple[str, ...]) -> Plain:
    return {
        "topic": "contacts",
        "kind": draw(st.sampled_from(("CARE", "REFERRAL", "REFERRAL", "CAMPAIGN", "CAMPAIGN", "DECLINED", "SURVEY"))),
        "score": draw(st.none() | st.integers(0, 10)),
        "direction": draw(st.sampled_from(("IN", "OUT"))),
        "channel": draw(st.sampled_from(CHANNELS)),
        "cost": draw(st.none() | st.sampled_from((0, 5, 400))),
        "referred_customer_id": draw(st.none() | st.sampled_from((*others, "mallory", "eve", "trent"))),
    }


def _profiles() -> st.SearchStrategy[Plain]:
    return st.fixed_dictionaries({"topic": st.just("customers"), "joined_at": st.integers(0, 10**12)})


def _bodies(others: tuple[str, ...], purchases: bool) -> st.SearchStrategy[Plain]:
    buys = [_purchases(others)] * 3 if purchases else []
    return st.one_of(*buys, _complaints(), _contacts(others), _profiles())


@st.composite
def histories(
    draw: st.DrawFn,
    zone: str,
    customers: tuple[str, ...] = ("anna",),
    least: int = 1,
    most: int = 12,
    purchases: bool = True,
) -> list[Plain]:
    """Events of these customers in order of time, ids unique. Several customers may name each other as referrer."""
    found = []
    for number, at in enumerate(draw(times(zone, least, most))):
        body = draw(_bodies(customers if len(customers) > 1 else (), purchases))
        name = draw(st.sampled_from(customers)) if len(customers) > 1 else customers[0]
        found.append({"event_id": f"e{number}", "customer_id": name, "occurred_at": at, **body})
    return found


def deliveries(events: list[Plain]) -> st.SearchStrategy[list[Plain]]:
    """The same events in any order, some more than once."""
    again = st.lists(st.sampled_from(events), max_size=len(events)) if events else st.just([])
    return again.flatmap(lambda repeats: st.permutations(events + repeats))


@st.composite
def late_deliveries(draw: st.DrawFn, events: list[Plain], span: int = 4) -> list[Plain]:
    """The same events, some a few places late, some repeated: mostly in order of time."""
    place = list(range(len(events)))
    places = [float(n) + draw(st.sampled_from((0, 0, 0, 0.5, span + 0.5))) for n in place]
    arrived = [events[n] for n in sorted(place, key=lambda n: (places[n], n))]
    for repeat in draw(st.lists(st.sampled_from(place), max_size=3)) if place else []:
        arrived.insert(draw(st.integers(0, len(arrived))), events[repeat])
    return arrived


# -- to the core


def event_of(plain: Plain) -> core.Dated:
    """The event as the core has it."""
    fields = {name: value for name, value in plain.items() if name != "topic"}
    if plain["topic"] == "purchases":
        lines = tuple(core.Line(**line) for line in fields.pop("lines"))
        return core.Purchase(**{"store_id": "s1", **fields}, lines=lines)
    kinds = {
        "complaints": core.Complaint, "contacts": core.Contact, "customers": core.Profile, "relay": core.Referral,
    }  # fmt: skip
    return kinds[plain["topic"]](**fields)
