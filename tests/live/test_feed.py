"""Importing into real Kafka: what lies there afterwards, again, cut short, behind the clock."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from processors.days import DAY_MS
from schemas import codec, topics
from schemas.partitioner import partition_of
from streams.reading import TopicReader
from streams.settings import Settings
from streams.texts import read_policy
from streams.topics_admin import delete_topics
from tests.conftest import PARTITIONS, ROOT

pytestmark = pytest.mark.live

Loyalty = Callable[..., "subprocess.CompletedProcess[str]"]
DAY_ONE = 17_000  # 2016-07-18, UTC


@pytest.fixture(autouse=True)
def _empty(fresh_topics: Callable[[], None]) -> None:
    fresh_topics()


def lying(settings: Settings, topic: str) -> list[Any]:
    with TopicReader(settings.kafka) as reader:
        return list(reader.stream(topic, from_beginning=True, until_end=True))


def ticks(settings: Settings) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for record in lying(settings, topics.TICKS):
        found[record.partition].append(record)
    return found


def at(record: Any) -> int:
    return int(codec.read(topics.TICKS, record.value)["at"])


def sale(number: int, day: int, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "customer_id": f"c{number % 7}",
        "occurred_at": (DAY_ONE + day) * DAY_MS + 3_600_000 + number,
        "kind": "SALE",
        "store_id": "1",
        "currency": "USD",
        "lines": [{"category": "cd", "quantity": 1, "net_amount": 100 + number}],
        **more,
    }


def file_of(path: Path, rows: list[Any]) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def year(tmp_path: Path) -> str:
    """Forty days of sales with an empty week, in reversed order."""
    rows = [sale(number, number // 5 + 7 * (number >= 100)) for number in range(200)]
    return file_of(tmp_path / "year.jsonl", rows[::-1])


def test_bad_rows_are_listed_by_line_and_the_good_ones_go_on(
    loyalty: Loyalty, settings: Settings, tmp_path: Path
) -> None:
    name = file_of(tmp_path / "a.jsonl", [
        sale(0, 0), sale(1, 0, occurred_at="2016-07-18T10:00:00"), "{", sale(3, 0, currency="usd"), sale(4, 0),
    ])  # fmt: skip
    done = loyalty("import", topics.PURCHASES, name)
    assert done.returncode == 1
    assert f"{name}:2: occurred_at is '2016-07-18T10:00:00': says no offset" in done.stderr
    assert f"{name}:3: is no JSON" in done.stderr
    assert f"{name}:4: currency is 'usd': must be three upper-case letters" in done.stderr
    assert "2 records written, 3 bad rows left out" in done.stdout
    assert "wait for the next tick (no tick yet)" in done.stderr
    records = lying(settings, topics.PURCHASES)
    assert {codec.read(topics.PURCHASES, record.value)["event_id"] for record in records} == {"e0", "e4"}
    for record in records:
        assert record.partition == partition_of(record.key, PARTITIONS)
        assert codec.decode(topics.PURCHASES, record.value, record.key).customer_id == record.key.decode()  # type: ignore[union-attr]


def test_bad_rows_and_the_result_are_json_for_programs(loyalty: Loyalty, tmp_path: Path) -> None:
    name = file_of(tmp_path / "a.csv", ["event_id,customer_id,occurred_at,joined_at", "p1,anna,0,1", "p2,bert,zero,1"])
    done = loyalty("import", topics.CUSTOMERS, name, "--json")
    bad, result = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert (bad["file"], bad["line"]) == (name, 3)
    assert bad["reason"].startswith("occurred_at is 'zero'")
    assert (result["written"], result["bad"], result["ticks"]) == (1, 1, 0)


def test_ticks_follow_all_earlier_rows_to_every_partition_whatever_the_order_of_the_file(
    loyalty: Loyalty, settings: Settings, year: str
) -> None:
    done = loyalty("import", topics.PURCHASES, year, "--ticks")
    assert done.returncode == 0, done.stderr
    found = ticks(settings)
    # the first row is of day 0: midnights 1 to 46, and the last millisecond of day 46
    wanted = [(DAY_ONE + day) * DAY_MS for day in range(1, 47)] + [(DAY_ONE + 47) * DAY_MS - 1]
    assert {partition: [at(record) for record in records] for partition, records in found.items()} == dict.fromkeys(
        range(PARTITIONS), wanted
    )
    policy = read_policy(settings.policy)
    (text,) = lying(settings, topics.POLICIES)
    assert text.key.decode() == policy.key
    assert codec.read(topics.POLICIES, text.value)["text"] == policy.text
    for record in found[0]:
        assert record.key is None
        assert dict(record.headers)["loyalty.clock"] == b"data"
        assert codec.read(topics.TICKS, record.value)["policy"] == policy.key
    # the broker's own time: what the tick says has been said was appended before it
    sales = [(codec.read(topics.PURCHASES, one.value)["occurred_at"], one) for one in lying(settings, topics.PURCHASES)]
    assert len(sales) == 200
    for records in found.values():
        for record in records:
            assert all(one.timestamp <= record.timestamp for when, one in sales if when <= at(record))


def test_later_rows_than_the_last_tick_are_left_out_and_counted(
    loyalty: Loyalty, settings: Settings, year: str
) -> None:
    until = (DAY_ONE + 3) * DAY_MS
    done = loyalty("import", topics.PURCHASES, year, "--ticks", "--tick-every", "12h", "--until-ms", str(until))
    assert "15 records written, 185 left out: later than the last tick" in done.stdout
    assert [at(record) for record in ticks(settings)[0]] == [
        DAY_ONE * DAY_MS + half * DAY_MS // 2 for half in range(1, 7)
    ]


def test_until_ms_alone_adds_one_last_tick(loyalty: Loyalty, settings: Settings, year: str) -> None:
    until = (DAY_ONE + 100) * DAY_MS
    done = loyalty("import", topics.PURCHASES, year, "--until-ms", str(until))
    assert done.returncode == 0, done.stderr
    assert {p: [at(record) for record in records] for p, records in ticks(settings).items()} == {
        partition: [until] for partition in range(PARTITIONS)
    }
    assert len(lying(settings, topics.PURCHASES)) == 200


def test_a_second_import_of_the_same_file_finds_all_there(loyalty: Loyalty, settings: Settings, year: str) -> None:
    first = loyalty("import", topics.PURCHASES, year, "--ticks", "--json")
    rows = [json.loads(line) for line in Path(year).read_text().splitlines()]
    other_order = file_of(Path(year).with_name("other.jsonl"), sorted(rows, key=lambda row: row["customer_id"]))
    again = loyalty("import", topics.PURCHASES, other_order, "--ticks", "--json")
    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert json.loads(first.stdout)["written"] == 200
    assert (json.loads(again.stdout)["written"], json.loads(again.stdout)["skipped"]) == (0, 200)
    assert len(lying(settings, topics.PURCHASES)) == 200
    assert {len(records) for records in ticks(settings).values()} == {47}


def test_ticks_behind_the_clock_are_refused_with_the_way_out_and_nothing_is_written(
    loyalty: Loyalty, settings: Settings, year: str, tmp_path: Path
) -> None:
    assert loyalty("import", topics.PURCHASES, year, "--ticks").returncode == 0
    early = file_of(tmp_path / "early.jsonl", [sale(900, -3)])
    done = loyalty("import", topics.PURCHASES, early, "--ticks")
    assert done.returncode == 1
    assert "would change nothing. Leave out --ticks" in done.stderr
    assert len(lying(settings, topics.PURCHASES)) == 200
    assert loyalty("import", topics.PURCHASES, early).returncode == 0


def test_what_will_be_too_late_is_said_before_anything_is_written(
    loyalty: Loyalty, settings: Settings, year: str, tmp_path: Path
) -> None:
    assert loyalty("import", topics.PURCHASES, year, "--ticks").returncode == 0
    old = file_of(tmp_path / "old.jsonl", [sale(900, -360), sale(901, -350)])
    dry = loyalty("import", topics.PURCHASES, old, "--dry-run")
    assert "1 row is older than the horizon of 400 days before the clock" in dry.stderr
    assert "TooLate" in dry.stderr
    assert len(lying(settings, topics.PURCHASES)) == 200


def importing(environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "streams", *words], cwd=ROOT, env=environ,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def ids(records: list[Any]) -> Iterator[str]:
    return (codec.read(topics.PURCHASES, record.value)["event_id"] for record in records)


def test_an_import_that_was_killed_goes_on_where_it_stopped(
    loyalty: Loyalty, settings: Settings, environ: dict[str, str]
) -> None:
    cut = importing(environ, "import-dataset", "cdnow")
    deadline = time.monotonic() + 60
    while min(map(len, ticks(settings).values()), default=0) < 20 or len(ticks(settings)) < PARTITIONS:
        assert time.monotonic() < deadline, "no ticks within a minute"
        assert cut.poll() is None, "the import ended before it could be killed"
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    half = len(lying(settings, topics.PURCHASES))
    assert 0 < half < 69_659
    done = loyalty("import-dataset", "cdnow", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["skipped"] > 0
    assert result["written"] + result["skipped"] == 69_659
    records = lying(settings, topics.PURCHASES)
    assert len(set(ids(records))) == 69_659
    assert len(records) - 69_659 <= half - result["skipped"]  # only what followed the last tick came twice
    for found in ticks(settings).values():
        assert all(at(a) < at(b) for a, b in pairwise(found))
        assert at(found[-1]) == 899_251_200_000 - 1  # the midnight after 1998-06-30, less a millisecond


def test_a_data_set_that_is_there_says_so_and_writes_nothing(loyalty: Loyalty, settings: Settings) -> None:
    first = loyalty("import-dataset", "completejourney", "--customers", "2")
    assert first.returncode == 0, first.stderr
    before = {topic: len(lying(settings, topic)) for topic in (topics.PURCHASES, topics.CONTACTS, topics.TICKS)}
    again = loyalty("import-dataset", "completejourney", "--customers", "2")
    assert again.returncode == 0
    assert "is there already" in again.stdout
    assert {topic: len(lying(settings, topic)) for topic in before} == before
    assert before[topics.PURCHASES] > 0
    assert before[topics.CONTACTS] > 0
    assert json.loads(loyalty("import-dataset", "completejourney", "--customers", "2", "--json").stdout)["complete"]


def test_an_erase_is_a_null_under_the_customers_id(loyalty: Loyalty, settings: Settings) -> None:
    done = loyalty("erase", "安娜", "--json")
    assert done.returncode == 0, done.stderr
    (record,) = lying(settings, topics.CUSTOMERS)
    assert (record.key, record.value) == ("安娜".encode(), None)
    assert record.partition == partition_of(record.key, PARTITIONS)
    told = json.loads(done.stdout)
    assert (told["partition"], told["offset"]) == (record.partition, record.offset)


def test_missing_topics_are_told(loyalty: Loyalty, settings: Settings, year: str) -> None:
    delete_topics(settings.kafka)
    done = loyalty("import", topics.PURCHASES, year)
    assert done.returncode == 1
    assert "loyalty topics create" in done.stderr
