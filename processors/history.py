"""What a customer keeps: facts, merged like sets, so that neither order nor repeats matter (D1).

Figures are sums over days: a record a day lies packed in `days`, and the sums run along, so that a review reads a
figure instead of adding one up, and a customer is a dozen objects instead of hundreds. What is needed for good
(purchase days) or for long (ids seen) is packed, too.

`days` holds 34 bytes a programme day, sorted: the day, then what it adds to each sum. `seen` holds 16 bytes an event,
sorted: 8 bytes big-endian `occurred_at << 20 | content`, then 8 bytes hash of the id.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from operator import add
from struct import Struct as Layout
from struct import error as StructError
from sys import byteorder
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from xxhash import xxh3_64_digest, xxh32_digest

from processors.benefits.book import Ledger, kept
from processors.days import Calendar
from processors.events import Profile, Served
from processors.money import AMOUNT_END, TooMuch

WINDOW_DAYS: Final = 365
_SEEN = Layout(">Q8s")
_ENTRY = _SEEN.size
DAY_ROW = Layout("<HIIqqq")
_DAY_BYTES = DAY_ROW.size
_SOLD = Layout("<2xI4xq16x")
"""Of a day's record its sales and its value alone."""
FIRST_DAY: Final = -1
"""1970 begins on day -1 west of Greenwich: packed days count from here, two bytes each, until 2149."""


class ComplaintState(Struct, frozen=True, array_like=True, gc=False):
    """The latest record of one complaint, by (`at`, `event_id`). opened_at: the latest OPENED or REOPENED, -1 where
    neither came; reopened: how often; resolved: when it was said to be settled, sorted."""

    complaint_id: str
    at: int
    event_id: str
    status: str
    severity: int
    about: str
    satisfaction: int | None
    store_id: str | None
    opened_at: int = -1
    reopened: int = 0
    resolved: tuple[int, ...] = ()


class Touch(Struct, frozen=True, array_like=True, gc=False):
    """A contact within the window. day: the programme's; direction: IN, the customer came to us, or OUT; due_at: what
    was agreed is due (ms); employee: who of us."""

    day: int
    at: int
    kind: str
    direction: str
    channel: str
    score: int | None = None
    item: str | None = None
    reason: str | None = None
    reminder_id: str | None = None
    due_at: int | None = None
    employee: str | None = None


class Refused(Struct, frozen=True, array_like=True, gc=False):
    """Somebody who does not count as brought (W1). named: ms at which first named, None: not named, as far as known.
    at, by: the earliest claim that stands against it, and whose; by the brought one: they brought this one."""

    named: int | None
    at: int
    by: str


class Kin(Struct, frozen=True, array_like=True, gc=False):
    """How another stood at `at` (ms) who brought this customer or was brought by them (W2, W3). clv: minor units."""

    at: int
    level: str
    clv: int


class Place(Struct, frozen=True, array_like=True, gc=False):
    """What is known of a place where people complained (K5). mishaps: of each complaint its programme day."""

    about: str
    store: str
    mishaps: dict[str, int]


class Service(Struct, frozen=True, array_like=True, gc=False):
    """How an employee serves, as a tick at `at` (ms) said last (E2)."""

    at: int
    served: Served


class History(Struct, frozen=True, array_like=True, gc=False):
    """The facts of one customer. `value` to `serve` are the sums over `days`: `on_day` and `within` keep them so.

    value: net sales minus returns; sales, returns: number of events; margin: value minus cost; serve: cost to serve;
    all booked under the policy in force when folded. categories: category to its last SALE day. purchase_days: distinct
    SALE days, 2 bytes each, for good. referred: customer brought to the ms at which first named. not_before: events up
    to this instant were erased and stay so. coupons: the day of each SALE with a coupon, 2 bytes each, in the window.
    tried: category to its first SALE day, for good, 6 bytes each. touches: contacts in the window, sorted.
    lifetime_margin, lifetime_serve: ever. last_touch_at: the last contact by us (ms). claims: who brought this
    customer, as (ms, referrer), the earliest first. refused: those brought who do not count, see `word_of_mouth`. kin:
    how those stand who brought, or were brought. last_store: of the last SALE, None where it named none. place: of a
    place, service: of an employee's grade, neither of which is a customer. ledger: of benefits earned, returned and
    used (T9), None: none.
    """

    first_at: int | None = None
    days: bytes = b""
    value: int = 0
    sales: int = 0
    returns: int = 0
    margin: int = 0
    serve: int = 0
    categories: dict[str, int] = {}
    purchase_days: bytes = b""
    seen: bytes = b""
    lifetime_value: int = 0
    lifetime_purchases: int = 0
    first_purchase_at: int | None = None
    last_purchase_at: int | None = None
    complaints: tuple[ComplaintState, ...] = ()
    referred: dict[str, int] = {}
    profile: Profile | None = None
    not_before: int = -1
    coupons: bytes = b""
    tried: bytes = b""
    touches: tuple[Touch, ...] = ()
    lifetime_margin: int = 0
    lifetime_serve: int = 0
    last_touch_at: int | None = None
    claims: tuple[tuple[int, str], ...] = ()
    refused: dict[str, Refused] = {}
    kin: dict[str, Kin] = {}
    last_store: str | None = None
    place: Place | None = None
    ledger: Ledger | None = None
    service: Service | None = None


def id_hash(kind: str, event_id: str) -> bytes:
    """8 bytes that stand for (kind of event, its id) within one customer."""
    return xxh3_64_digest(f"{kind}\0{event_id}".encode())


def content_of(seen: bytes, key: bytes) -> int | None:
    """The content under an id already seen, else None."""
    at = seen.find(key)
    while at >= 0:
        if at % _ENTRY == 8:
            return int.from_bytes(seen[at - 8 : at], "big") & 0xFFFFF
        at = seen.find(key, at + 1)
    return None


def with_seen(seen: bytes, key: bytes, occurred_at: int, content: int, keep_from: int) -> bytes:
    """`seen` with one more id, without those of events before `keep_from` (ms): they would not be accepted again."""
    entry = _SEEN.pack(occurred_at << 20 | content, key)
    if not seen or seen[-_ENTRY:] < entry:
        seen += entry
    else:
        at = _seen_index(seen, entry)
        seen = seen[:at] + entry + seen[at:]
    return seen_since(seen, keep_from)


def seen_since(seen: bytes, keep_from: int) -> bytes:
    """`seen` without the ids of events before `keep_from` (ms)."""
    if keep_from <= 0 or int.from_bytes(seen[:8], "big") >> 20 >= keep_from:
        return seen
    return seen[_seen_index(seen, _SEEN.pack(keep_from << 20, b"")) :]


def _seen_index(seen: bytes, entry: bytes) -> int:
    """The byte offset of the first entry not below `entry`."""
    low, high = 0, len(seen) // _ENTRY
    while low < high:
        middle = (low + high) // 2
        if seen[middle * _ENTRY : (middle + 1) * _ENTRY] < entry:
            low = middle + 1
        else:
            high = middle
    return low * _ENTRY


def unpack_days(packed: bytes) -> array[int]:
    """Packed purchase days as numbers, sorted; counted from `FIRST_DAY`."""
    days = array("H", packed)
    if byteorder == "big":
        days.byteswap()
    return days


def with_purchase_day(packed: bytes, day: int) -> bytes:
    """The packed set of purchase days with `day` (-1..65534: until 2149) in it."""
    number = day - FIRST_DAY
    entry = number.to_bytes(2, "little")
    if packed[-2:] == entry:
        return packed
    if not packed or packed[-2] | packed[-1] << 8 < number:
        return packed + entry
    days = unpack_days(packed)
    at = bisect_left(days, number)
    return packed if days[at] == number else packed[: 2 * at] + entry + packed[2 * at :]


def with_coupon(packed: bytes, day: int) -> bytes:
    """The packed days of sales with a coupon, sorted, with one more on `day`."""
    number = day - FIRST_DAY
    entry = number.to_bytes(2, "little")
    if not packed or packed[-2] | packed[-1] << 8 <= number:
        return packed + entry
    at = 2 * bisect_left(unpack_days(packed), number)
    return packed[:at] + entry + packed[at:]


def with_tried(packed: bytes, category: str, day: int) -> bytes:
    """The packed first days of categories, sorted by their hash, with `category` bought on `day`.

    Two of a customer's categories share a hash of 4 bytes once in ten million customers: then they count as one.
    """
    key, number = xxh32_digest(category.encode()), day - FIRST_DAY
    low, high = 0, len(packed) // TRIED_BYTES
    while low < high:
        middle = (low + high) // 2
        if packed[middle * TRIED_BYTES : middle * TRIED_BYTES + 4] < key:
            low = middle + 1
        else:
            high = middle
    at = low * TRIED_BYTES
    if packed[at : at + 4] != key:
        return packed[:at] + key + number.to_bytes(2, "little") + packed[at:]
    if packed[at + 4] | packed[at + 5] << 8 <= number:
        return packed
    return packed[: at + 4] + number.to_bytes(2, "little") + packed[at + 6 :]


def tried_until(history: History, day: int) -> int:
    """How many categories had been bought by `day`, with it."""
    packed, number = history.tried, day - FIRST_DAY
    return sum(packed[at] | packed[at + 1] << 8 <= number for at in range(4, len(packed), TRIED_BYTES))


def first_tries(history: History) -> list[int]:
    """The first day of each category ever bought, in no order."""
    packed = history.tried
    return [(packed[at] | packed[at + 1] << 8) + FIRST_DAY for at in range(4, len(packed), TRIED_BYTES)]


TRIED_BYTES: Final = 6


class Day(NamedTuple):
    """What one programme day adds to each sum."""

    day: int
    sales: int
    returns: int
    value: int
    margin: int
    serve: int


def days_of(history: History) -> list[Day]:
    """The days held, sorted."""
    return [Day(number + FIRST_DAY, *sums) for number, *sums in DAY_ROW.iter_unpack(history.days)]


def days_since(history: History, first: int) -> list[Day]:
    """The days held from `first` on, sorted."""
    days = history.days
    if not days or (days[_LAST_LOW] | days[_LAST_HIGH] << 8) + FIRST_DAY < first:
        return []
    cut = _day_index(days, max(first - FIRST_DAY, 0))
    return [Day(number + FIRST_DAY, *sums) for number, *sums in DAY_ROW.iter_unpack(days[cut:])]


def on_day(history: History, day: int, value: int, sales: int, returns: int, margin: int, serve: int) -> dict[str, Any]:
    """`days` and the sums with these amounts added on `day`, as fields to replace. Raises TooMuch."""
    days, number = history.days, day - FIRST_DAY
    try:
        if not days or days[_LAST_LOW] | days[_LAST_HIGH] << 8 < number:
            days += DAY_ROW.pack(number, sales, returns, value, margin, serve)
        else:
            days = _amid(days, number, sales, returns, value, margin, serve)
    except StructError:
        raise TooMuch from None
    value, margin, serve = history.value + value, history.margin + margin, history.serve + serve
    if not (-AMOUNT_END < value < AMOUNT_END and -AMOUNT_END < margin < AMOUNT_END and serve < AMOUNT_END):
        raise TooMuch
    return {
        "days": days,
        "value": value,
        "sales": history.sales + sales,
        "returns": history.returns + returns,
        "margin": margin,
        "serve": serve,
    }


_LAST_LOW: Final = -_DAY_BYTES
_LAST_HIGH: Final = 1 - _DAY_BYTES


def _amid(days: bytes, number: int, *more: int) -> bytes:
    at = _day_index(days, number)
    if days[at] | days[at + 1] << 8 != number:
        return days[:at] + DAY_ROW.pack(number, *more) + days[at:]
    held = DAY_ROW.unpack_from(days, at)
    return days[:at] + DAY_ROW.pack(number, *map(add, held[1:], more)) + days[at + _DAY_BYTES :]


def _day_index(days: bytes, number: int) -> int:
    """The byte offset of the first day not below `number`."""
    low, high = 0, len(days) // _DAY_BYTES
    while low < high:
        middle = (low + high) // 2
        at = middle * _DAY_BYTES
        if days[at] | days[at + 1] << 8 < number:
            low = middle + 1
        else:
            high = middle
    return low * _DAY_BYTES


def within(history: History, day: int) -> History:
    """`history` without the days that have left the window ending on `day`; `now` never goes back, so they don't."""
    if history.ledger is not None:
        ledger = kept(history.ledger, day)
        if ledger is not history.ledger:
            history = replace(history, ledger=ledger)
    days, first = history.days, day - WINDOW_DAYS + 1
    if history.place is not None:
        history = replace(history, place=_lately(history.place, first))
    if not days or (days[0] | days[1] << 8) + FIRST_DAY >= first:
        return history
    cut = _day_index(days, first - FIRST_DAY)
    if cut == _DAY_BYTES:  # nearly always: who has a day that leaves is reviewed the midnight it does
        _, sales, returns, value, margin, serve = DAY_ROW.unpack_from(days)
    else:
        _, sales, returns, value, margin, serve = map(sum, zip(*DAY_ROW.iter_unpack(days[:cut]), strict=True))
    return replace(
        history,
        days=days[cut:],
        value=history.value - value,
        sales=history.sales - sales,
        returns=history.returns - returns,
        margin=history.margin - margin,
        serve=history.serve - serve,
        categories={name: last for name, last in history.categories.items() if last >= first},
        coupons=_coupons_since(history.coupons, first),
        touches=tuple(touch for touch in history.touches if touch.day >= first),
    )


def _lately(place: Place, first: int) -> Place:
    mishaps = {name: day for name, day in place.mishaps.items() if day >= first}
    return place if len(mishaps) == len(place.mishaps) else replace(place, mishaps=mishaps)


def _coupons_since(packed: bytes, first: int) -> bytes:
    return packed[2 * bisect_left(unpack_days(packed), first - FIRST_DAY) :] if packed else packed


class Recent(NamedTuple):
    """What the last so many days hold beside the days before them.

    first: the earliest of the last days that holds anything, None: none does. sales, value: their sums.
    past_span: days from the first to the last day, both included, that hold anything before them; 0: none.
    """

    first: int | None
    sales: int
    value: int
    past_span: int


def recent(history: History, day: int, span: int) -> Recent:
    """The `span` days that end on `day`; facts lie on or before it, and within the window."""
    days, size = history.days, len(history.days)
    first = day - span + 1 - FIRST_DAY
    if not size or days[_LAST_LOW] | days[_LAST_HIGH] << 8 < first:
        cut = size
    else:
        cut = _day_index(days, first) if days[0] | days[1] << 8 < first else 0
    sales = value = 0
    for sold, amount in _SOLD.iter_unpack(days[cut:]):
        sales += sold
        value += amount
    past = 0
    if cut:
        at = cut - _DAY_BYTES
        past = (days[at] | days[at + 1] << 8) - (days[0] | days[1] << 8) + 1
    begins = None if cut == size else (days[cut] | days[cut + 1] << 8) + FIRST_DAY
    return Recent(begins, sales, value, past)


def first_leaving_day(history: History, calendar: Calendar, day: int) -> int | None:
    """The earliest programme day, among facts in the window ending on `day`, whose leaving changes a figure."""
    days = history.days
    first = (days[0] | days[1] << 8) + FIRST_DAY if days else None
    if history.referred:
        named = [d for at in history.referred.values() if (d := calendar.day_of(at)) > day - WINDOW_DAYS]
        return min(named if first is None else (first, *named), default=None)
    return first
