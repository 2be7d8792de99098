"""Avro object container files: written by avro-python3, read by fastavro, and the other way round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import avro.schema
import fastavro
import pytest
from avro.datafile import DataFileReader, DataFileWriter
from avro.io import DatumReader, DatumWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import library, topics
from schemas.container import read_container, write_container
from schemas.errors import BadField, BrokenAvro
from tests.wire.records import accepted

SALE: dict[str, Any] = {
    "event_id": "e",
    "customer_id": "张伟",
    "occurred_at": 1_490_000_123_456,
    "kind": "SALE",
    "store_id": "s1",
    "currency": "USD",
    "lines": [{"category": "bread", "quantity": 2, "net_amount": 450}],
}
WHOLE = SALE | {
    "channel": "store",
    "lines": [{"category": "bread", "sku": None, "quantity": 2, "net_amount": 450, "cost": None}],
    "original_event_id": None,
    "coupon_ids": [],
    "referrer_id": None,
    "employee_id": None,
}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(accepted(topics.PURCHASES), max_size=4))
def test_what_is_written_is_read_back_by_both_implementations(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    path = tmp_path / "purchases.avro"
    assert write_container(path, topics.PURCHASES, records) == len(records)
    assert list(read_container(path, topics.PURCHASES)) == records
    assert list(read_container(path)) == records
    with DataFileReader(path.open("rb"), DatumReader()) as independent:
        assert list(independent) == records


def test_missing_fields_are_written_with_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "purchases.avro"
    write_container(path, topics.PURCHASES, [SALE])
    assert list(read_container(path, topics.PURCHASES)) == [WHOLE]


def test_the_schema_in_the_file_keeps_its_logical_types(tmp_path: Path) -> None:
    path = tmp_path / "purchases.avro"
    write_container(path, topics.PURCHASES, [SALE])
    with path.open("rb") as file:
        written = fastavro.reader(file).writer_schema
    assert isinstance(written, dict)
    assert written["fields"][2]["type"] == {"type": "long", "logicalType": "timestamp-millis"}
    assert library.canonical_fingerprint(written) == library.newest_fingerprint(topics.PURCHASES)


def test_a_record_that_does_not_fit_is_named(tmp_path: Path) -> None:
    bad = SALE | {"lines": [{"category": "bread", "quantity": 2, "net_amount": 4.5}]}
    with pytest.raises(BadField, match=r"lines\[0\].net_amount is 4.5"):
        write_container(tmp_path / "purchases.avro", topics.PURCHASES, [bad])


def foreign(path: Path, schema: dict[str, Any], records: list[dict[str, Any]], codec: str = "null") -> Path:
    with path.open("wb") as file:
        fastavro.writer(file, schema, records, codec=codec)
    return path


def grown() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(library.text(topics.PURCHASES))
    schema["fields"].append({"name": "till", "type": "string"})
    return schema


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_another_writers_schema_is_resolved_to_the_newest(tmp_path: Path, codec: str) -> None:
    path = foreign(tmp_path / "x.avro", grown(), [WHOLE | {"till": "7"}], codec)
    assert list(read_container(path, topics.PURCHASES)) == [WHOLE]
    assert list(read_container(path)) == [WHOLE | {"till": "7"}]


def test_times_are_milliseconds_whatever_the_writer_called_them(tmp_path: Path) -> None:
    schema = grown()
    schema["fields"][2]["type"]["logicalType"] = "timestamp-micros"
    path = foreign(tmp_path / "x.avro", schema, [WHOLE | {"till": "7", "occurred_at": 1_490_000_123_456_789}])
    assert [record["occurred_at"] for record in read_container(path, topics.PURCHASES)] == [1_490_000_123_456]


def test_a_file_of_avro_python3s_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.avro"
    with DataFileWriter(path.open("wb"), DatumWriter(), avro.schema.parse(library.text(topics.PURCHASES))) as writer:
        writer.append(WHOLE)
    assert list(read_container(path, topics.PURCHASES)) == [WHOLE]


def test_a_damaged_file_gives_the_records_before_the_damage_and_names_the_next(tmp_path: Path) -> None:
    path = foreign(tmp_path / "x.avro", grown(), [WHOLE | {"till": "7"}] * 3)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenAvro, match=r"x.avro: record \d cannot be read to purchases"):
        list(read_container(path, topics.PURCHASES))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.avro").write_bytes(b"not avro")
    with pytest.raises(BrokenAvro, match=r"x.avro: record 1 cannot be read"):
        list(read_container(tmp_path / "x.avro", topics.PURCHASES))
    path = foreign(tmp_path / "y.avro", json.loads(library.text(topics.CONTACTS)), [])
    assert list(read_container(path, topics.PURCHASES)) == [], "no record, nothing to resolve"
