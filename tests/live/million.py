"""A year of a big shop as tills send it, quickly made: 5% of the records come twice, 5% late by up to 60 days, 1% are
broken in every way there is, and some lie at another customer's key.

`Shop(n)` is the plan, `Shop.items()` makes the records in the order of arrival and takes note of what was meant: each
valid event once (`bought`), each broken record with its error and field (`broken`). From that follow plain sums, and
for some customers the log as a partition folds it (`log_of`), for the oracle.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

from schemas import codec, framing, purchase_bytes, topics
from schemas.partitioner import partition_of
from streams.spool import Item

DAY_MS = 86_400_000
BEGIN_MS = 1_704_067_200_000  # 2024-01-01T00:00Z
YEAR_MS = 364 * DAY_MS
END_MS = BEGIN_MS + YEAR_MS + DAY_MS - 1
LATE_MS = 60 * DAY_MS
EARLIEST_MS = BEGIN_MS - 30 * DAY_MS
"""Sent again at the year's end it still lies within the horizon (400 days)."""

TWICE, LATE, BROKEN, MISPLACED, RETURNED = 0.05, 0.05, 0.01, 0.002, 0.02
PER_CUSTOMER = 20
OVERSIZE_BYTES = (1_100_000, 3_000_000)
CATEGORIES = ("bread", "milk", "meat", "wine", "fish", "soap")


class Bought(NamedTuple):
    """A valid event. value: minor units. clock: the last tick before its turn, None before the first."""

    at: int
    event_id: str
    sale: bool
    lines: tuple[tuple[str, int], ...]
    clock: int | None

    @property
    def value(self) -> int:
        return sum(amount for _, amount in self.lines)


class Broken(NamedTuple):
    """error: the class of its dead letter; field: what the letter must name, "" where there is none to name."""

    error: str
    field: str


class Shop:
    """records: how many in all. Each customer buys about PER_CUSTOMER times, a few much more."""

    def __init__(self, records: int, partitions: int, seed: int) -> None:
        self.records, self.partitions = records, partitions
        self._rng = Random(seed)
        self._names = [f"c{number}" for number in range(max(records // PER_CUSTOMER, 40))]
        self._at: dict[str, int] = {name: partition_of(name.encode(), partitions) for name in self._names}
        self.bought: dict[str, list[Bought]] = defaultdict(list)
        self.broken: dict[tuple[bytes | None, bytes], Broken] = {}
        self.rerouted: set[str] = set()
        self.repeats = 0
        self._high = [-1] * partitions
        self._where = purchase_bytes.place("s1", "store", "EUR")
        self._goods = {name: purchase_bytes.article(name, None) for name in CATEGORIES}

    # -- the records

    def oversize(self) -> list[tuple[bytes, bytes]]:
        """Keys and values too large to be taken, though compressed they pass the broker."""
        made = []
        for size in OVERSIZE_BYTES:
            key = self._names[size % len(self._names)].encode()
            made.append((key, framing.header(topics.PURCHASES) + bytes(size)))
            self.broken[made[-1][1], key] = Broken("Oversize", "")
        return made

    def items(self) -> Iterator[Item]:
        """All others, in the order of arrival; `at`: when it arrived."""
        rng, names, records = self._rng, self._names, self.records
        sent: list[Item] = []
        breakers = self._breakers()
        for number in range(records):
            arrived = BEGIN_MS + YEAR_MS * number // records
            toss = rng.random()
            if toss < TWICE and sent:
                self.repeats += 1
                yield sent[rng.randrange(len(sent))]._replace(at=arrived)
                continue
            name = names[int(len(names) * rng.random() ** 1.5)]
            if toss < TWICE + BROKEN and number > records // 50:  # so far there are ticks: a time can be too late
                yield self._break(breakers[number % len(breakers)], number, arrived, name)
                continue
            late = toss > 1 - LATE
            at = max(arrived - rng.randrange(LATE_MS), EARLIEST_MS) if late else arrived
            item = self._sold(number, arrived, at, name, misplaced=not late and rng.random() < MISPLACED)
            if len(sent) < 50_000:
                sent.append(item)
            else:
                sent[rng.randrange(len(sent))] = item
            yield item

    def _sold(self, number: int, arrived: int, at: int, name: str, *, misplaced: bool) -> Item:
        rng = self._rng
        event_id, sale = f"e{number}", rng.random() >= RETURNED
        lines = tuple((rng.choice(CATEGORIES), rng.randrange(50, 9_000)) for _ in range(1 + (number & 1)))
        key = rng.choice(self._names) if misplaced else name
        high = self._high[self._at[key]] = max(self._high[self._at[key]], at)
        if self._at[key] != self._at[name]:
            self.rerouted.add(name)
        self.bought[name].append(Bought(at, event_id, sale, lines, _last_tick_before(high)))
        if sale:
            goods = b"".join(self._goods[what] + purchase_bytes.amounts(1, amount) for what, amount in lines)
            value = purchase_bytes.sale(event_id, name, at, self._where, len(lines), goods, ())
        else:
            value = codec.write(topics.PURCHASES, purchase(event_id, name, at, "RETURN", lines))
        return Item(arrived, number, topics.PURCHASES, key.encode(), value)

    # -- the broken ones

    def _break(self, breaker: Breaker, number: int, arrived: int, name: str) -> Item:
        made, why = breaker(purchase(f"broken-{number}", name, arrived, "SALE", (("bread", 100),)), number)
        key = name.encode() if made is not None else f"null-{number}".encode()
        self.broken[made, key] = why
        return Item(arrived, number, topics.PURCHASES, key, made)

    def _breakers(self) -> list[Breaker]:
        now = int(time.time() * 1000)

        def field(path: str, error: str = "BadField", **fields: Any) -> Breaker:
            return lambda good, _: (codec.write(topics.PURCHASES, good | fields), Broken(error, path))

        def wrong_kind(good: Mapping[str, Any], _: int) -> Made:
            value = codec.write(topics.PURCHASES, good | {"store_id": "MARK"})
            before = value.index(b"\x08MARK") - 1  # the enum stands before store_id
            return value[:before] + b"\x2c" + value[before + 1 :], Broken("BrokenAvro", "kind")

        return [
            lambda good, n: (_written(good)[: 40 + n % 8], Broken("BrokenAvro", "")),
            lambda good, _: (b"\xc3\x01unknown!" + _written(good)[10:], Broken("UnknownSchema", "")),
            lambda good, _: (b"\0\0\0\0\7" + _written(good)[10:], Broken("ConfluentFramed", "")),
            lambda good, _: (None, Broken("BrokenAvro", "")),
            wrong_kind,
            field("lines[0].net_amount", lines=[_line(-450)]),
            field("lines[1].net_amount", lines=[_line(1), _line(10**13 + 1)]),
            field("lines[1].category", lines=[_line(1), _line(1) | {"category": "x" * 300}]),
            field("lines", lines=[]),
            field("currency", currency="euro"),
            field("currency", "UnknownCurrency", currency="CHF"),
            field("customer_id", customer_id=""),
            lambda good, n: field("occurred_at", "TooLate", occurred_at=good["occurred_at"] // 1_000)(good, n),
            lambda good, n: field("occurred_at", occurred_at=good["occurred_at"] * 1_000)(good, n),
            lambda good, n: field("occurred_at", "TooFarAhead", occurred_at=now + 3 * DAY_MS + n)(good, n),
        ]

    # -- what follows from them

    def figures(self, name: str) -> dict[str, int | None]:
        """Plain sums at the end of the year."""
        all_of = self.bought[name]
        window = [one for one in all_of if one.at > END_MS - 365 * DAY_MS]
        sales = [one.at for one in all_of if one.sale]
        orders = sum(one.sale for one in window)
        return {
            "value_365d": _net(window),
            "purchases_365d": orders,
            "returns_365d": len(window) - orders,
            "categories_365d": len({what for one in window if one.sale for what, _ in one.lines}),
            "lifetime_value": _net(all_of),
            "lifetime_purchases": len(sales),
            "first_purchase_at": min(sales, default=None),
            "last_purchase_at": max(sales, default=None),
        }

    def log_of(self, name: str) -> list[dict[str, Any]]:
        """The customer's events in the order in which they are folded, with the ticks that came between."""
        log: list[dict[str, Any]] = []
        clock = None
        for one in self.bought[name]:
            if one.clock != clock and one.clock is not None:
                clock = one.clock
                log.append({"topic": "ticks", "at": clock})
            kind = "SALE" if one.sale else "RETURN"
            log.append({"topic": "purchases", **purchase(one.event_id, name, one.at, kind, one.lines)})
        return log


Made = tuple[bytes | None, Broken]
Breaker = Callable[[Mapping[str, Any], int], Made]


def purchase(event_id: str, name: str, at: int, kind: str, lines: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """The fields of a purchase."""
    return {
        "event_id": event_id,
        "customer_id": name,
        "occurred_at": at,
        "kind": kind,
        "store_id": "s1",
        "currency": "EUR",
        "lines": [{"category": what, "quantity": 1, "net_amount": amount} for what, amount in lines],
    }


def _written(good: Mapping[str, Any]) -> bytes:
    return codec.write(topics.PURCHASES, dict(good))


def _line(amount: int) -> dict[str, Any]:
    return {"category": "x", "quantity": 1, "net_amount": amount}


def _last_tick_before(high: int) -> int | None:
    """Ticks stand at midnights (UTC); one goes as soon as something later is the next to be folded."""
    if high <= BEGIN_MS:
        return None
    return (high - 1) // DAY_MS * DAY_MS


def _net(events: list[Bought]) -> int:
    return sum(one.value if one.sale else -one.value for one in events)
