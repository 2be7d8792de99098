"""Files to rows to records to ticks: every edge of the parsers, the sort, and where the ticks lie."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.days import DAY_MS, Calendar
from processors.policy import load_policy
from schemas import codec, container, topics
from schemas.errors import BadField
from streams import fields, ingest, rows
from streams.cli import main
from streams.ingest import Every, Limits, Ticking, TickState, tick_times
from streams.rows import BadRow, Row, csv_rows, json_rows, read_rows
from streams.settings import LoyaltyError, Settings
from streams.spool import Item, Spool

SALE: dict[str, Any] = {
    "event_id": "e1",
    "customer_id": "anna",
    "occurred_at": "2017-01-31T12:00:00-05:00",
    "kind": "SALE",
    "store_id": "7",
    "currency": "USD",
    "lines": [{"category": "cd", "quantity": 1, "net_amount": 1250}],
}
NOON = 1_485_882_000_000
NEW_YORK = Calendar("America/New_York")


def from_json(*records: Any, topic: str = topics.PURCHASES) -> list[Row | BadRow]:
    text = "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records)
    return list(json_rows(BytesIO(text.encode()), topic))


def from_csv(text: str | bytes, topic: str = topics.PURCHASES) -> list[Row | BadRow]:
    return list(csv_rows(BytesIO(text if isinstance(text, bytes) else text.encode()), topic))


def reason(found: list[Row | BadRow]) -> str:
    bad = [row for row in found if isinstance(row, BadRow)]
    assert len(bad) == 1, found
    return bad[0].reason


# ---- JSON


def test_a_json_row_is_a_record_with_its_line() -> None:
    assert from_json(SALE, "", SALE) == [
        Row(1, SALE | {"occurred_at": NOON}),
        Row(3, SALE | {"occurred_at": NOON}),
    ]


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (NOON, NOON),
        ("2017-01-31T17:00:00Z", NOON),
        ("2017-01-31T17:00:00+00:00", NOON),
        ("2017-02-01T01:00+08:00", NOON),
        ("2017-01-31 17:00:00.0019Z", NOON + 1),
        ("1970-01-01T00:00:00Z", 0),
        ("2017-03-12T01:59:59-05:00", 1_489_301_999_000),  # a second before New York's clocks go forward
        ("2017-03-12T03:00:00-04:00", 1_489_302_000_000),
        ("2017-11-05T01:30:00-04:00", 1_509_859_800_000),  # the hour that comes twice: the offset tells them apart
        ("2017-11-05T01:30:00-05:00", 1_509_863_400_000),
    ],
)
def test_a_time_is_iso_with_an_offset_or_ms(written: object, ms: int) -> None:
    (row,) = from_json(SALE | {"occurred_at": written})
    assert isinstance(row, Row)
    assert row.fields["occurred_at"] == ms


@pytest.mark.parametrize("written", ["2017-01-31T12:00:00", "2017-01-31"])
def test_a_time_without_an_offset_is_a_bad_row_that_says_the_way_out(written: str) -> None:
    assert reason(from_json(SALE | {"occurred_at": written})) == (
        f"occurred_at is {written!r}: says no offset from UTC; append Z for UTC or the offset, as -05:00"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"occurred_at": "yesterday"}, "occurred_at is 'yesterday': must be ISO 8601 with an offset"),
        ({"occurred_at": 1.5}, "occurred_at is 1.5: must be ISO 8601"),
        ({"occurred_at": True}, "occurred_at is True: must be ISO 8601"),
        ({"customer_id": 5}, "customer_id is 5: must be text"),
        ({"customer_id": None}, "customer_id is None: must be text"),
        ({"kind": "sale"}, "kind is 'sale': must be one of SALE|RETURN"),
        ({"kind": "UNKNOWN"}, "kind is 'UNKNOWN': must be one of SALE|RETURN"),
        ({"kind": ["SALE"]}, "kind is ['SALE']: must be one of SALE|RETURN"),
        ({"lines": {}}, "lines is {}: must be a list"),
        ({"lines": [1]}, "lines[0] is 1: must be a Line with its fields"),
        ({"lines": [{"category": "cd", "quantity": 1, "net_amount": 12.5}]}, "lines[0].net_amount is 12.5: must be a"),
        ({"lines": [{"category": "cd", "quantity": True, "net_amount": 1}]}, "lines[0].quantity is True: must be a"),
        ({"lines": [{"category": "cd", "quantity": 1, "amount": 1}]}, "did you mean net_amount?"),
        ({"coupon_id": ["x"]}, "coupon_id is no field of Purchase; did you mean coupon_ids?"),
        ({"coupon_ids": [1]}, "coupon_ids[0] is 1: must be text"),
        ({"store_id": "\ud800"}, "is no JSON"),
    ],
)
def test_a_bad_value_is_told_by_field_and_value(change: dict[str, Any], said: str) -> None:
    assert said in reason(from_json(SALE | change))


def test_what_is_no_json_is_told_and_the_good_rows_go_on() -> None:
    found = from_json('{"event_id": "e1"', SALE, "[1]", "\x00", SALE)
    assert [type(row) for row in found] == [BadRow, Row, BadRow, BadRow, Row]
    assert [row.line for row in found] == [1, 2, 3, 4, 5]
    assert "must be a Purchase with its fields" in found[2].reason  # type: ignore[union-attr]


def test_broken_utf8_and_a_byte_order_mark() -> None:
    line = json.dumps(SALE).encode()
    text = b"\xef\xbb\xbf" + line + b"\r\n" + line.replace(b"anna", b"\xff")
    found = list(json_rows(BytesIO(text), topics.PURCHASES))
    assert isinstance(found[0], Row)
    assert isinstance(found[1], BadRow)


def test_a_line_beyond_all_bounds_is_passed_over_without_being_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LINE_BYTES_MAX", 400)
    found = from_json("x" * 2_000, SALE, "y" * 399, "z" * 400, SALE)
    assert [(type(row), row.line) for row in found] == [
        (BadRow, 1), (Row, 2), (BadRow, 3), (BadRow, 4), (Row, 5),
    ]  # fmt: skip
    assert "more than 400 bytes" in found[0].reason  # type: ignore[union-attr]


@given(st.integers(0, 4_102_444_799_999), st.integers(-14 * 60 + 1, 14 * 60 - 1))
def test_any_instant_in_any_offset_is_read_exactly(ms: int, minutes: int) -> None:
    from datetime import timedelta, timezone

    zone = timezone(timedelta(minutes=minutes))
    text = (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=ms)).astimezone(zone)  # noqa: UP017
    assert fields.instant(text.isoformat(timespec="milliseconds")) == ms


def test_an_instant_names_its_field() -> None:
    with pytest.raises(BadField, match="joined_at is '2017'"):
        fields.instant("2017", "joined_at")


# ---- CSV

HEAD = "event_id,customer_id,occurred_at,kind,store_id,currency,category,sku,quantity,net_amount,cost,coupon_ids\n"
FIRST = "e1,anna,2017-01-31T12:00:00-05:00,SALE,7,USD,cd,,1,1250,,\n"


CLASH = "customer_id is 'bert': line 2 has the same event_id and 'anna'; give each purchase its own event_id"


def test_neighbouring_csv_rows_with_one_id_are_one_purchase() -> None:
    found = from_csv(HEAD + FIRST + 'e1,,,,,,book,b-1,2,"300",100,\n' + FIRST.replace("e1", "e2"))
    assert found[0] == Row(
        2,
        {
            "event_id": "e1", "customer_id": "anna", "occurred_at": NOON, "kind": "SALE", "store_id": "7",
            "currency": "USD",
            "lines": [
                {"category": "cd", "quantity": 1, "net_amount": 1250},
                {"category": "book", "sku": "b-1", "quantity": 2, "net_amount": 300, "cost": 100},
            ],
        },
        (2, 3),
    )  # fmt: skip
    assert isinstance(found[1], Row)
    assert found[1].line == 4
    assert found[1].fields["event_id"] == "e2"


def test_rows_of_one_id_that_are_no_neighbours_are_two_purchases() -> None:
    found = from_csv(HEAD + FIRST + FIRST.replace("e1", "e2") + FIRST)
    assert [row.fields["event_id"] for row in found if isinstance(row, Row)] == ["e1", "e2", "e1"]


def test_csv_rows_of_one_id_must_agree_and_the_purchase_is_left_out_whole() -> None:
    found = from_csv(HEAD + FIRST + FIRST.replace("anna", "bert") + FIRST.replace("e1", "e2"))
    assert found[:2] == [
        BadRow(3, CLASH),
        BadRow(2, "the purchase 'e1' that begins here is left out whole"),
    ]
    assert isinstance(found[2], Row)


def test_one_bad_line_spoils_its_purchase_and_no_other() -> None:
    found = from_csv(HEAD + FIRST + "e1,,,,,,cd,,one,5,,\n" + "e1,,,,,,cd,,1,5,,\n" + FIRST.replace("e1", "e2"))
    assert [(type(row), row.line) for row in found] == [(BadRow, 3), (BadRow, 2), (Row, 5)]
    assert "lines[1].quantity is 'one': must be a whole number" in found[0].reason  # type: ignore[union-attr]


def test_a_field_of_a_csv_line_is_told_on_its_own_line() -> None:
    (row,) = from_csv(HEAD + FIRST + "e1,,,,,,cd,,1,-5,,\n")
    assert isinstance(row, Row)
    assert [row.line_of(path) for path in ("lines[0].net_amount", "lines[1].net_amount", "store_id")] == [2, 3, 2]


def test_lists_are_split_by_semicolons() -> None:
    (row,) = from_csv(HEAD + FIRST.replace(",,\n", ",,a; b;;c \n"))
    assert isinstance(row, Row)
    assert row.fields["coupon_ids"] == ["a", "b", "c"]


def test_maps_and_pairs_of_a_profile_are_split_too() -> None:
    (row,) = from_csv(
        "event_id,customer_id,occurred_at,joined_at,consent,anniversaries,do_not_contact\n"
        "p1,anna,0,1483228800000,email=true; sms=no,wedding=06-21;moved=2015-03-02,FALSE\n",
        topics.CUSTOMERS,
    )
    assert isinstance(row, Row)
    assert row.fields["consent"] == {"email": True, "sms": False}
    assert row.fields["anniversaries"] == [
        {"name": "wedding", "date": "06-21"},
        {"name": "moved", "date": "2015-03-02"},
    ]
    assert row.fields["do_not_contact"] is False
    bad = from_csv("event_id,customer_id,occurred_at,joined_at,consent\np,a,0,1,email\n", topics.CUSTOMERS)
    assert reason(bad) == "consent is 'email': must be name=value, several by `;`"


def test_a_csv_row_may_hold_line_breaks_and_keeps_its_line_number() -> None:
    found = from_csv(HEAD + FIRST.replace(",7,", ',"sev\nen",') + FIRST.replace("e1", "e2").replace("anna", ""))
    assert [row.line for row in found] == [2, 4]
    assert isinstance(found[0], Row)
    assert found[0].fields["store_id"] == "sev\nen"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("e1,anna,20170131,SALE,7,USD,cd,,1,1250,,\n", "occurred_at is '20170131': looks like a date"),
        ("e1,anna,2017-01-31T12:00,SALE,7,USD,cd,,1,1250,,\n", "says no offset"),
        ("e1,anna,0,SALE,7,USD,cd,,1,12.50,,\n", "lines[0].net_amount is '12.50': must be a whole number"),
        ("e1,anna,0,SALE,7,USD,cd,,1,1_250,,\n", "lines[0].net_amount is '1_250'"),
        ("e1,anna,0,SALE,7,USD,cd,,١,1250,,\n", "lines[0].quantity"),
        ("e1,anna,0,SALE,7,USD,cd,,1,1250\n", "does not have as many cells as the header"),
        ("e1,anna,0,SALE,7,USD,cd,,1,1250,,,\n", "does not have as many cells as the header"),
        (",anna,0,SALE,7,USD,cd,,1,1250,,\n", "event_id is missing"),
        ("e1,anna,0,sold,7,USD,cd,,1,1250,,\n", "kind is 'sold': must be one of SALE|RETURN"),
    ],
)
def test_a_bad_csv_cell_is_told_by_field(cells: str, said: str) -> None:
    assert said in reason(from_csv(HEAD + cells))


def test_csv_that_is_not_utf8_is_told_by_field() -> None:
    assert "is not UTF-8" in reason(from_csv((HEAD + FIRST).encode().replace(b",7,", b",\xe9,")))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("event_id,amount\n", "'amount' is no field of purchases; did you mean net_amount?"),
        ("event_id;customer_id;kind\n", "columns are separated by commas"),
        ("event_id,event_id\n", "the column event_id is there twice"),
        ("event_id,lines\n", "'lines' is no field"),
        ("", "is empty"),
        (HEAD + 'e1,"anna', "is no CSV"),
    ],
)
def test_what_spoils_a_whole_csv_file_ends_it(head: str, said: str) -> None:
    with pytest.raises(LoyaltyError, match="input") as told:
        from_csv(head)
    assert said in str(told.value)


def test_columns_of_a_line_may_carry_its_name() -> None:
    plain, named = from_csv(HEAD + FIRST), from_csv(HEAD.replace("category", "lines.category") + FIRST)
    assert plain == named


# ---- files


def test_three_formats_of_the_same_rows_are_the_same_records(tmp_path: Path) -> None:
    record = SALE | {"occurred_at": NOON}
    (tmp_path / "a.jsonl").write_text(json.dumps(SALE) + "\n")
    (tmp_path / "a.csv").write_text(HEAD + FIRST)
    container.write_container(tmp_path / "a.avro", topics.PURCHASES, [record])
    made = []
    for name in ("a.jsonl", "a.csv", "a.avro"):
        path = tmp_path / name
        (row,) = read_rows(path, topics.PURCHASES, rows.format_of(path))
        assert isinstance(row, Row)
        made.append(codec.write(topics.PURCHASES, row.fields))
    assert made[0] == made[1] == made[2]


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoyaltyError, match="no such file or directory"):
        list(read_rows(tmp_path / "none.csv", topics.PURCHASES, "csv"))
    with pytest.raises(LoyaltyError, match="the name tells no format"):
        rows.format_of(Path("a.xlsx"))
    (tmp_path / "a.avro").write_bytes(b"no container")
    with pytest.raises(LoyaltyError, match=r"a\.avro"):
        list(read_rows(tmp_path / "a.avro", topics.PURCHASES, "avro"))


# ---- the spool


def filled(spool: Spool, times: list[int]) -> Spool:
    for place, at in enumerate(times):
        spool.add(at, topics.PURCHASES, b"k%d" % place, b"v%d" % place)
    return spool


@pytest.mark.parametrize("memory_bytes", [1, 1_000, 20_000, 1 << 30])
def test_the_sort_is_stable_whatever_fits_into_memory(memory_bytes: int) -> None:
    rng = random.Random(7)
    times = [rng.randrange(50) for _ in range(5_000)]
    with filled(Spool(ordered=True, memory_bytes=memory_bytes), times) as spool:
        assert (spool.count, spool.first_ms, spool.last_ms) == (5_000, min(times), max(times))
        for _ in range(2):  # it can be read again
            got = [(item.at, item.key) for item in spool]
            assert got == sorted(((at, b"k%d" % place) for place, at in enumerate(times)), key=lambda one: one[0])


@pytest.mark.parametrize("memory_bytes", [1, 1 << 30])
def test_an_unordered_spool_keeps_the_files_order(memory_bytes: int) -> None:
    with filled(Spool(ordered=False, memory_bytes=memory_bytes), [5, 3, 9, 1] * 40) as spool:
        assert [item.key for item in spool] == [b"k%d" % place for place in range(160)]


def test_the_mark_is_that_of_the_records_in_any_order() -> None:
    def mark(records: list[tuple[int, bytes]]) -> str:
        with Spool(ordered=True, memory_bytes=200) as spool:
            for at, value in records:
                spool.add(at, topics.PURCHASES, b"k", value)
            return spool.mark

    records = [(at, b"v%d" % at) for at in range(20)]
    assert mark(records) == mark(records[::-1])
    assert mark(records) != mark(records[1:])
    assert mark(records) != mark([*records[1:], (0, b"w")])
    assert mark(records) != mark([*records, records[0]])


# ---- ticks


def local(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).timestamp() * 1000)


DAILY = Every(days=1)


def ticks(first: str, until: str, every: Every = DAILY) -> list[int]:
    return list(tick_times(local(first), local(until), every, NEW_YORK))


def test_ticks_of_a_day_lie_at_the_programmes_midnights_empty_days_too() -> None:
    assert ticks("2017-03-10T15:00", "2017-03-14T23:59:59.999") == [
        local("2017-03-11"), local("2017-03-12"), local("2017-03-13"), local("2017-03-14"),
        local("2017-03-14T23:59:59.999"),
    ]  # fmt: skip


def test_ticks_of_a_day_follow_the_change_of_the_clocks() -> None:
    spans = [b - a for a, b in pairwise(ticks("2017-03-10T15:00", "2017-03-15"))]
    assert spans == [DAY_MS, 23 * 3_600_000, DAY_MS, DAY_MS]


def test_a_row_at_midnight_comes_before_that_midnights_tick() -> None:
    assert ticks("2017-05-01", "2017-05-02T10:00") == [
        local("2017-05-01"), local("2017-05-02"), local("2017-05-02T10:00"),
    ]  # fmt: skip


def test_other_steps_are_counted_from_the_midnight_before_the_first_row() -> None:
    assert ticks("2017-05-01T07:30", "2017-05-01T20:00", Every(ms=6 * 3_600_000)) == [
        local("2017-05-01T12:00"), local("2017-05-01T18:00"), local("2017-05-01T20:00"),
    ]  # fmt: skip
    assert ticks("2017-05-01T07:30", "2017-05-08T20:00", Every(days=3)) == [
        local("2017-05-04"), local("2017-05-07"), local("2017-05-08T20:00"),
    ]  # fmt: skip


def test_the_last_tick_is_written_even_before_the_first_row() -> None:
    assert ticks("2017-05-10", "2017-05-01T10:00") == [local("2017-05-01T10:00")]
    assert ticks("2017-05-10", "2017-05-10") == [local("2017-05-10")]


def test_the_default_end_is_a_millisecond_before_the_midnight_that_follows() -> None:
    assert ingest.end_of_day(local("2017-12-31T23:01:20"), NEW_YORK) == local("2017-12-31T23:59:59.999")
    assert ingest.end_of_day(local("2017-12-31"), NEW_YORK) == local("2017-12-31T23:59:59.999")
    assert ingest.end_of_day(4_102_444_799_999, Calendar("UTC")) == 4_102_444_799_999


@given(
    st.integers(0, 4_102_444_799_999),
    st.integers(0, 90 * DAY_MS),
    st.sampled_from([Every(days=1), Every(days=7), Every(ms=3_600_000), Every(ms=DAY_MS + 1)]),
)
def test_ticks_rise_end_at_the_end_and_leave_no_gap(first: int, span: int, every: Every) -> None:
    until = min(first + span, 4_102_444_799_999)
    made = list(tick_times(first, until, every, NEW_YORK))
    assert made[-1] == until
    assert all(a < b for a, b in pairwise(made))
    assert made[0] >= first
    step = every.ms or every.days * DAY_MS + 3_600_000
    assert all(b - a <= step for a, b in pairwise([first, *made]))


# ---- writing


class Wire:
    """A sender that takes note. A flush acknowledges; a tick is told with the rows acknowledged before it."""

    def __init__(self) -> None:
        self.producer: Any = self
        self.rows: list[tuple[str, int, bytes]] = []
        self.acknowledged = 0
        self.ticks: list[tuple[int, int, int]] = []  # (at, partition, rows acknowledged)
        self.headers: list[dict[str, bytes]] = []
        self.policies: list[bytes] = []

    async def send_and_wait(self, topic: str, value: bytes, key: bytes, partition: int) -> SimpleNamespace:
        assert (topic, partition, self.ticks) == (topics.POLICIES, 0, [])
        self.policies.append(key)
        return SimpleNamespace(timestamp=0)

    async def add(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        if topic == topics.TICKS:
            assert key is None
            assert value is not None
            read = codec.read(topics.TICKS, value)
            self.ticks.append((read["at"], partition, self.acknowledged))
            self.headers.append({**dict(headers), "policy": read["policy"].encode()})
        else:
            assert value is not None
            self.rows.append((topic, partition, value))

    async def flush(self) -> None:
        self.acknowledged = len(self.rows)


class Silent:
    def __init__(self) -> None:
        self.steps = 0

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def tell(self, text: str) -> None: ...


POLICY = load_policy('[programme]\nname = "p"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n')


def items(*times: int) -> list[Item]:
    return [Item(at, place, topics.PURCHASES, b"k%d" % place, b"v%d" % at) for place, at in enumerate(times)]


def written(
    feed: list[Item], times: list[int], after: dict[int, int | None] | None = None, resume: int | None = None
) -> tuple[Wire, ingest.Done, Silent]:
    wire, progress = Wire(), Silent()
    after = {0: None, 1: None} if after is None else after
    ticking = Ticking(iter(times), times[-1], after, POLICY, "mark")
    done = asyncio.run(ingest.write_feed(wire, feed, 2, ticking, resume, progress))  # type: ignore[arg-type]
    return wire, done, progress


def test_a_tick_follows_the_acknowledgement_of_all_rows_up_to_it() -> None:
    wire, done, progress = written(items(5, 10, 11, 25, 31), [10, 20, 30, 31])
    assert wire.ticks == [(at, p, acks) for at, acks in ((10, 2), (20, 3), (30, 4), (31, 5)) for p in (0, 1)]
    assert done == ingest.Done(written=5, skipped=0, left_out=0, ticks=4)
    assert progress.steps == 5
    assert wire.policies == [POLICY.key.encode()]
    assert wire.headers[0] == {
        "loyalty.clock": b"data", "loyalty.import": b"mark", "loyalty.until": b"31", "policy": POLICY.key.encode(),
    }  # fmt: skip


def test_rows_after_the_last_tick_are_left_out_and_counted() -> None:
    wire, done, progress = written(items(5, 10, 11), [10])
    assert [value for *_, value in wire.rows] == [b"v5", b"v10"]
    assert done == ingest.Done(written=2, skipped=0, left_out=1, ticks=1)
    assert progress.steps == 3


def test_without_rows_the_last_tick_is_written_all_the_same() -> None:
    wire, done, _ = written([], [10])
    assert [at for at, *_ in wire.ticks] == [10, 10]
    assert done.ticks == 1


def test_no_partition_gets_a_tick_that_is_not_after_its_clock() -> None:
    wire, _, _ = written(items(5, 25), [10, 20, 30], after={0: 20, 1: 10})
    assert [(at, p) for at, p, _ in wire.ticks] == [(20, 1), (30, 0), (30, 1)]
    assert len(wire.rows) == 2  # rows are written again: their ids make that harmless


def test_an_import_cut_short_goes_on_after_its_last_tick_everywhere() -> None:
    wire, done, progress = written(items(5, 10, 11, 25), [10, 20, 30], after={0: 10, 1: 20}, resume=10)
    assert [value for *_, value in wire.rows] == [b"v11", b"v25"]
    assert [(at, p) for at, p, _ in wire.ticks] == [(20, 0), (30, 0), (30, 1)]
    assert done == ingest.Done(written=2, skipped=2, left_out=0, ticks=2)
    assert progress.steps == 4


def test_without_ticks_rows_are_written_in_their_order() -> None:
    wire = Wire()
    done = asyncio.run(ingest.write_feed(wire, items(9, 3, 7), 2, None, None, Silent()))  # type: ignore[arg-type]
    assert [value for *_, value in wire.rows] == [b"v9", b"v3", b"v7"]
    assert (wire.acknowledged, wire.ticks, done.written) == (3, [], 3)


@given(
    st.lists(st.integers(0, 500), max_size=60),
    st.lists(st.integers(0, 500), min_size=1, max_size=20, unique=True),
    st.none() | st.integers(-1, 500),
)
def test_every_row_up_to_a_tick_precedes_it_and_none_is_lost(
    at: list[int], steps: list[int], resume: int | None
) -> None:
    steps.sort()
    feed = items(*sorted(at))
    wire, done, _ = written(feed, steps, after={0: resume, 1: resume}, resume=resume)
    skipped = [one for one in feed if resume is not None and one.at <= resume]
    for tick, _, acks in wire.ticks:
        assert acks >= sum(one.at <= tick for one in feed) - len(skipped)
    wanted = [one.value for one in feed if one.at <= steps[-1] and one not in skipped]
    assert [value for *_, value in wire.rows] == wanted
    assert done.written + done.skipped + done.left_out == len(feed)


# ---- what the last ticks say


class Told:
    """A record of `ticks` as a consumer gives it."""

    def __init__(self, at: int, mark: str = "", until: int = 0) -> None:
        self.value = codec.write(topics.TICKS, {"at": at})
        self.headers = [
            ("loyalty.import", mark.encode()),
            ("loyalty.until", b"%d" % until),
        ] if mark else []  # fmt: skip


class Reader:
    def __init__(self, *partitions: list[Any]) -> None:
        self._partitions = partitions

    def tails(self, topic: str, most: int) -> dict[int, list[Any]]:
        assert topic == topics.TICKS
        return {number: records[-most:] for number, records in enumerate(self._partitions)}


def states(*partitions: list[Any]) -> dict[int, TickState]:
    return ingest.tick_state(Reader(*partitions))  # type: ignore[arg-type]


def test_the_clock_is_the_latest_of_the_last_ticks() -> None:
    assert ingest.clock_of(states([], [])) is None
    assert ingest.clock_of(states([Told(5), Told(9), Told(7)], [Told(8)])) == 9


def test_a_broken_tick_is_passed_over() -> None:
    broken = Told(5)
    broken.value = b"broken"
    assert ingest.clock_of(states([Told(3), broken])) == 3


def test_an_import_is_resumed_at_the_last_tick_that_all_partitions_have() -> None:
    half = states([Told(10, "m", 30), Told(20, "m", 30)], [Told(10, "m", 30)])
    assert ingest.resumed_at(half, "m") == 10
    assert ingest.resumed_at(half, "other") is None
    assert ingest.resumed_at(states([Told(10, "m", 30)], []), "m") is None
    assert not ingest.is_complete(half, "m")


def test_an_import_is_complete_with_its_last_tick_in_all_partitions_whoever_ticked_since() -> None:
    full = states([Told(30, "m", 30), Told(30), Told(40, "n", 50)], [Told(20, "m", 30), Told(30, "m", 30)])
    assert ingest.is_complete(full, "m")
    assert not ingest.is_complete(full, "n")
    assert not ingest.is_complete({}, "m")


def test_an_import_behind_the_clock_is_refused_with_the_way_out() -> None:
    ingest.refuse_past(None, 5)
    ingest.refuse_past(5, 5)
    with pytest.raises(LoyaltyError, match="Leave out --ticks"):
        ingest.refuse_past(6, 5)


def test_rows_that_the_worker_would_refuse_are_counted_beforehand() -> None:
    settings = Settings.from_env({})
    clock = 500 * DAY_MS
    limits = Limits(settings, clock)
    for at in (clock - 400 * DAY_MS, clock - 400 * DAY_MS - 1, clock, 4_102_444_799_999):
        limits.look(at)
    assert (limits.late, limits.ahead) == (1, 1)
    late, ahead = limits.told(settings)
    assert "TooLate" in late
    assert "ahead of now" in ahead
    fresh = Limits(settings, None)
    fresh.look(0)
    assert fresh.told(settings) == []


def test_a_batch_that_is_full_is_sent_and_the_next_begun() -> None:
    class Batch:
        def __init__(self) -> None:
            self.records: list[Any] = []

        def append(self, **record: Any) -> object | None:
            if len(self.records) == 3:
                return None
            self.records.append(record["value"])
            return object()

        def close(self) -> None: ...

    class Producer:
        def __init__(self) -> None:
            self.sent: list[tuple[str, int, list[Any]]] = []

        def create_batch(self) -> Batch:
            return Batch()

        async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
            self.sent.append((topic, partition, batch.records))
            future = asyncio.get_running_loop().create_future()
            future.set_result(None)
            return future

    async def run() -> list[tuple[str, int, list[Any]]]:
        producer = Producer()
        sender = ingest.Sender(producer)  # type: ignore[arg-type]
        for number in range(7):
            await sender.add(topics.PURCHASES, number % 2, b"k", b"%d" % number)
        await sender.flush()
        return producer.sent

    assert sorted(asyncio.run(run())) == [
        (topics.PURCHASES, 0, [b"0", b"2", b"4"]),
        (topics.PURCHASES, 0, [b"6"]),
        (topics.PURCHASES, 1, [b"1", b"3", b"5"]),
    ]


# ---- the command line


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("import", "purchase", "a.csv"), 2, "did you mean purchases?"),
        (("import", "ticks", "a.csv"), 2, "takes no import"),
        (("import", "purchases", "a.xlsx"), 1, "the name tells no format"),
        (("import", "purchases", "none.csv"), 1, "no such file or directory"),
        (("import", "purchases", "a.csv", "--tick-every", "1d"), 2, "add --ticks"),
        (("import", "purchases", "a.csv", "--ticks", "--tick-every", "day"), 2, "'day' is no step"),
        (("import", "purchases", "a.csv", "--until-ms", "-1"), 2, "--until-ms"),
        (("import-dataset", "cdnow", "--customers", "0"), 2, "must be 1 or more"),
        (("erase", "x" * 129), 2, "the id has 129 bytes"),
    ],
)
def test_wrong_usage_says_the_way_out(
    words: tuple[str, ...], code: int, said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").touch()
    monkeypatch.setenv("LOYALTY_KAFKA", "127.0.0.1:1")  # none of these gets so far
    assert main(words) == code
    assert said in capsys.readouterr().err
