"""What a customer keeps: facts, merged like sets, so that neither order nor repeats matter (D1).

Figures are sums over days, so days are kept as columns: one sorted tuple of programme days and one tuple a quantity.
Adding to a tuple costs a copy of at most 365 entries, and summing one is a single call in C; both were measured
cheaper than a list of day records. What is needed for good (purchase days) or for long (ids seen) is packed in bytes.

`seen` holds 16 bytes an event, sorted: 8 bytes big-endian `occurred_at << 20 | content`, then 8 bytes hash of the id.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from struct import Struct as Layout
from sys import byteorder
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from xxhash import xxh3_64_digest

from processors.days import Calendar
from processors.events import Profile

WINDOW_DAYS: Final = 365
_SEEN = Layout(">Q8s")
_ENTRY = _SEEN.size


class ComplaintState(Struct, frozen=True, array_like=True, gc=False):
    """The latest record of one complaint, by (`at`, `event_id`)."""

    complaint_id: str
    at: int
    event_id: str
    status: str
    severity: int
    about: str
    satisfaction: int | None
    store_id: str | None


class History(Struct, frozen=True, array_like=True, gc=False):
    """The facts of one customer. Columns `value` to `serve` run beside `days` (programme days, sorted, distinct).

    value: net sales minus returns; sales, returns: number of events; margin: value minus cost; serve: cost to serve;
    all booked under the policy in force when folded. categories: category to its last SALE day. purchase_days: distinct
    SALE days, 2 bytes each, for good. referred: customer brought to the ms at which first named. not_before: events up
    to this instant were erased and stay so.
    """

    first_at: int | None = None
    days: tuple[int, ...] = ()
    value: tuple[int, ...] = ()
    sales: tuple[int, ...] = ()
    returns: tuple[int, ...] = ()
    margin: tuple[int, ...] = ()
    serve: tuple[int, ...] = ()
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
    """Packed purchase days as numbers, sorted; counted from 1969-12-31, where 1970 begins west of UTC."""
    days = array("H", packed)
    if byteorder == "big":
        days.byteswap()
    return days


def with_purchase_day(packed: bytes, day: int) -> bytes:
    """The packed set of purchase days with `day` (-1..65534: until 2149) in it."""
    number = day + 1
    entry = number.to_bytes(2, "little")
    if packed[-2:] == entry:
        return packed
    if not packed or int.from_bytes(packed[-2:], "little") < number:
        return packed + entry
    days = unpack_days(packed)
    at = bisect_left(days, number)
    return packed if days[at] == number else packed[: 2 * at] + entry + packed[2 * at :]


def with_day(
    history: History, day: int, value: int, sales: int, returns: int, margin: int, serve: int
) -> dict[str, tuple[int, ...]]:
    """The columns of `history` with the amounts added on `day`, as fields to replace."""
    days = history.days
    if days and days[-1] == day:
        return {
            "value": (*history.value[:-1], history.value[-1] + value),
            "sales": (*history.sales[:-1], history.sales[-1] + sales),
            "returns": (*history.returns[:-1], history.returns[-1] + returns),
            "margin": (*history.margin[:-1], history.margin[-1] + margin),
            "serve": (*history.serve[:-1], history.serve[-1] + serve),
        }
    if not days or days[-1] < day:
        return {
            "days": (*days, day),
            "value": (*history.value, value),
            "sales": (*history.sales, sales),
            "returns": (*history.returns, returns),
            "margin": (*history.margin, margin),
            "serve": (*history.serve, serve),
        }
    at = bisect_left(days, day)
    new = days[at] != day

    def put(column: tuple[int, ...], amount: int) -> tuple[int, ...]:
        if new:
            return (*column[:at], amount, *column[at:])
        return (*column[:at], column[at] + amount, *column[at + 1 :])

    return {
        "days": (*days[:at], day, *days[at:]) if new else days,
        "value": put(history.value, value),
        "sales": put(history.sales, sales),
        "returns": put(history.returns, returns),
        "margin": put(history.margin, margin),
        "serve": put(history.serve, serve),
    }


def within(history: History, day: int) -> History:
    """`history` without the days that have left the window ending on `day`; `now` never goes back, so they don't."""
    first = day - WINDOW_DAYS + 1
    if not history.days or history.days[0] >= first:
        return history
    cut = bisect_left(history.days, first)
    return replace(
        history,
        days=history.days[cut:],
        value=history.value[cut:],
        sales=history.sales[cut:],
        returns=history.returns[cut:],
        margin=history.margin[cut:],
        serve=history.serve[cut:],
        categories={name: last for name, last in history.categories.items() if last >= first},
    )


def first_leaving_day(history: History, calendar: Calendar, day: int) -> int | None:
    """The earliest programme day, among facts in the window ending on `day`, whose leaving changes a figure."""
    days = history.days[:1]
    if history.referred:
        named = [d for at in history.referred.values() if (d := calendar.day_of(at)) > day - WINDOW_DAYS]
        return min((*days, *named), default=None)
    return days[0] if days else None
