"""What a hostile producer, name or file may try, and what comes of it: the list of docs/security.md, test by test."""

from __future__ import annotations

import ast
import bz2
import io
import json
import logging
import lzma
import re
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastavro
import kafka.record.memory_records as kafka_python
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record import default_records
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from processors.care.ideas import suggestion
from processors.care.sections import Idea
from processors.outputs import Reason
from processors.templates import faults
from schemas import codec, container, library, topics
from schemas.container import read_container
from schemas.errors import BadField, BadRecord, BrokenAvro, Oversize
from sinks import unpacking
from sinks.access import KafkaAccess
from sinks.keys import Keys
from streams import logs, visible
from streams.cli.output import Output
from streams.record_sets import unpack
from streams.rows import BadRow, Row, csv_rows, json_rows
from streams.settings import SettingError, Settings
from tests.core.test_ingest import SALE
from tests.core.test_wording import wording

ROOT = Path(__file__).resolve().parent.parent.parent
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
FEW = 1 << 20
"""A bound that makes bombs small: what is tried is that there is one."""

NAMES = (
    "{0}", "}:due", "{1}:customer:anna", "anna\n", "an\0na", "*", "[a-z]?", "anna'", '"]] redis.call("FLUSHALL") --',
    "%s%n", "${jndi:ldap://h/a}", "__class__", "=1+1", "\u202eanna", "loyalty:{0}:fence", " ", "😀" * 32,
)  # fmt: skip
"""Customers' ids that mean something to somebody else."""


@pytest.fixture(autouse=True)
def bound() -> None:
    KafkaAccess("h:1").options()


def batch(codec_number: int, *values: bytes, base: int = 0, headers: tuple[tuple[str, bytes], ...] = ()) -> bytes:
    made = default_records.DefaultRecordBatchBuilder(
        magic=2, compression_type=codec_number, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=sum(map(len, values)) + 1024 * len(values) + 1024,
    )  # fmt: skip
    for number, value in enumerate(values):
        made.append(number, timestamp=5, key=b"k", value=value, headers=list(headers))
    return struct.pack(">q", base) + bytes(made.build())[8:]  # the base offset lies before what the checksum covers


def unpacked(*batches: bytes, topic: str = topics.PURCHASES) -> list[Any]:
    place = TopicPartition(topic, 3)
    records = MemoryRecords(b"".join(batches))
    parts = PartitionRecords(place, records, [], 0, None, None, True, READ_COMMITTED)
    return unpack(parts, 1_000)


# ---- Kafka: compression, batches, records


@pytest.mark.parametrize("name", CODECS)
def test_both_clients_read_all_four_codecs(name: str) -> None:
    data = batch(CODECS[name], b"one" * 1000, b"two")
    for records in (MemoryRecords, kafka_python.MemoryRecords):
        assert [record.value for record in records(data).next_batch()] == [b"one" * 1000, b"two"]


@pytest.mark.parametrize("name", CODECS)
def test_a_decompression_bomb_is_stopped_in_both_clients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "BATCH_BYTES_MAX", FEW)
    data = batch(CODECS[name], b"\0" * (8 * FEW))
    assert len(data) < FEW
    for records in (MemoryRecords, kafka_python.MemoryRecords):
        with pytest.raises(unpacking.Bomb, match="unpacks to more than 1 MiB"):
            list(records(data).next_batch())


def test_javas_snappy_blocks_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiokafka.codec import snappy_encode

    payload = snappy_encode(b"\0" * 3 * FEW)
    assert unpacking.DECODERS["snappy_decode"](payload) == b"\0" * 3 * FEW
    monkeypatch.setattr(unpacking, "BATCH_BYTES_MAX", FEW)
    with pytest.raises(unpacking.Bomb):
        unpacking.DECODERS["snappy_decode"](payload)


def test_a_batch_of_a_bomb_becomes_one_dead_letter_and_the_stream_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unpacking, "BATCH_BYTES_MAX", FEW)
    bomb = batch(CODECS["zstd"], b"\0" * 8 * FEW, b"with it", base=10)
    for topic in topics.INPUTS:
        before, bad, after = unpacked(batch(0, b"good"), bomb, batch(0, b"good too", base=12), topic=topic)
        assert (before.value, after.value, bad.offset) == (b"good", b"good too", 11)
        with pytest.raises(Oversize):
            codec.decode(topic, bad.value, bad.key)
    assert "purchases[3]@10 to 11: the batch cannot be unpacked (Bomb: unpacks to more than 1 MiB" in caplog.text


def test_a_batch_of_millions_of_nothings_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.record_sets.BATCH_RECORDS_MAX", 100)
    (bad,) = unpacked(batch(CODECS["zstd"], *[b""] * 101))
    assert (bad.offset, bad.timestamp, len(bad.value)) == (100, 5, topics.RECORD_BYTES_MAX + 1)
    assert len(unpacked(batch(CODECS["zstd"], *[b""] * 100))) == 100


def test_a_header_whose_name_is_no_utf8_stops_nobody() -> None:
    data = batch(0, b"value", headers=(("name", b"x"),))
    at = data.index(b"name")
    body = bytearray(data)
    body[at : at + 4] = b"\xff\xfe\xfd\xfc"
    struct.pack_into(">I", body, 17, default_records.calc_crc32c(bytes(body[21:])))
    (bad,) = unpacked(bytes(body))
    with pytest.raises(Oversize):
        codec.decode(topics.PURCHASES, bad.value, bad.key)


def test_a_codec_that_this_release_does_not_know_stops_the_partition_and_loses_nothing() -> None:
    from aiokafka.errors import KafkaError

    body = bytearray(batch(0, b"value"))
    struct.pack_into(">h", body, 21, 5)
    struct.pack_into(">I", body, 17, default_records.calc_crc32c(bytes(body[21:])))
    with pytest.raises(KafkaError):
        unpacked(bytes(body))


@pytest.mark.parametrize("topic", topics.INPUTS)
def test_an_oversize_record_is_a_dead_letter_before_anything_is_read_of_it(topic: str) -> None:
    framed = b"\xc3\x01" + b"\xff" * topics.bytes_max(topic)
    with pytest.raises(Oversize, match="split it into several records"):
        codec.decode(topic, framed, b"k")


def test_an_array_that_says_it_is_endless_is_refused_at_once() -> None:
    framed = codec.write(topics.PURCHASES, SALE | {"occurred_at": 5})
    for length in (b"\xfe\xff\xff\xff\x0f", b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0f"):
        at = framed.index(b"USD") + 3
        with pytest.raises(BadRecord):
            codec.decode(topics.PURCHASES, framed[:at] + length + framed[at + 1 :], None)


# ---- files of an import


@pytest.mark.parametrize("depth", [10, 500, 1_000, 100_000])
@pytest.mark.parametrize("opening", ["[", '{"lines":', '{"consent":{"a":'])
def test_deep_json_is_a_bad_row_with_its_line(depth: int, opening: str) -> None:
    good = json.dumps(SALE).encode()
    found = list(json_rows(io.BytesIO(good + b"\n" + opening.encode() * depth + b"\n" + good), topics.PURCHASES))
    assert [type(row) for row in found] == [Row, BadRow, Row]
    assert found[1].line == 2
    closed = json.dumps(SALE | {"store_id": 0}).replace('"store_id": 0', '"store_id": ' + "[" * depth + "]" * depth)
    (row,) = json_rows(io.BytesIO(closed.encode()), topics.PURCHASES)
    assert isinstance(row, BadRow)
    assert len(row.reason) < 1_000


@pytest.mark.parametrize("number", ["9" * 5_000, "1e999999", "-1e400", "NaN", "Infinity"])
def test_a_monstrous_number_is_a_bad_row(number: str) -> None:
    line = json.dumps(SALE | {"occurred_at": 0}).replace('"occurred_at": 0', f'"occurred_at": {number}')
    (row,) = json_rows(io.BytesIO(line.encode()), topics.PURCHASES)
    assert isinstance(row, BadRow)
    assert len(row.reason) < 1_000


@pytest.mark.parametrize("name", ["deflate", "bzip2", "xz"])
def test_a_bomb_in_a_container_file_ends_the_import(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "BLOCK_BYTES_MAX", FEW)
    path = tmp_path / "purchases.avro"
    with path.open("wb") as file:
        fastavro.writer(file, library.newest(topics.PURCHASES), [codec.read(topics.PURCHASES, sale())], codec=name)
    assert len(list(read_container(path, topics.PURCHASES))) == 1
    body = path.read_bytes()
    squeeze = {"deflate": _deflated, "bzip2": bz2.compress, "xz": lzma.compress}[name]
    marker = body[-16:]  # random bytes; its first place is the end of the header
    header = body[: body.index(marker) + len(marker)]
    path.write_bytes(header + _block(squeeze(b"\0" * 8 * FEW)) + marker)
    with pytest.raises(BrokenAvro, match="unpacks to more than 1 MiB"):
        list(read_container(path, topics.PURCHASES))


def sale() -> bytes:
    return codec.write(topics.PURCHASES, SALE | {"occurred_at": 5})


def _deflated(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


def _block(data: bytes) -> bytes:
    out = io.BytesIO()
    for number in (1, len(data)):
        zigzag = number << 1
        while zigzag > 0x7F:
            out.write(bytes([zigzag & 0x7F | 0x80]))
            zigzag >>= 7
        out.write(bytes([zigzag]))
    return out.getvalue() + data


def test_a_csv_cell_that_is_a_formula_is_a_text_and_nothing_here_writes_csv() -> None:
    text = "event_id,customer_id,occurred_at,kind,store_id,currency,category,quantity,net_amount\n" + (
        'e1,"=HYPERLINK(""h"")",2017-01-31T12:00:00Z,SALE,@SUM(1),USD,+1-1,1,100\n'
    )
    (row,) = csv_rows(io.BytesIO(text.encode()), topics.PURCHASES)
    assert isinstance(row, Row)
    assert (row.fields["customer_id"], row.fields["store_id"]) == ('=HYPERLINK("h")', "@SUM(1)")
    for folder in ("streams", "sinks", "schemas", "processors"):
        for path in (ROOT / folder).rglob("*.py"):
            written = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
                       and node.attr in ("writer", "DictWriter") and ast.unparse(node.value) == "csv"]  # fmt: skip
            assert not written, f"{path}: a CSV file needs its formula cells defused; see docs/security.md"


# ---- names: Redis keys, scripts, sentences, logs, terminals


def slot_tag(key: str) -> str:
    """What Redis Cluster hashes of a key: between the first { and the first } behind it, if that is not empty."""
    start = key.find("{")
    end = key.find("}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key


@given(one=st.sampled_from(NAMES) | st.text(), other=st.sampled_from(NAMES) | st.text(), partition=st.integers(0, 20))
def test_no_id_reaches_another_key_or_another_slot(one: str, other: str, partition: int) -> None:
    keys = Keys("loyalty")
    fixed = {keys.due(partition), keys.fence(partition), keys.outbox(partition), keys.values(partition),
             keys.erased(partition), keys.kpi(partition), keys.meta()}  # fmt: skip
    made = [keys.customer(partition, one), keys.state(partition, one)]
    assert len(set(made)) == 2
    assert not fixed & set(made)
    assert {slot_tag(key) for key in made} == {str(partition)}
    if one != other:
        assert not set(made) & {keys.customer(partition, other), keys.state(partition, other)}


def test_no_command_of_ours_takes_a_pattern() -> None:
    """But the one that empties an installation: of its prefix, which has no letter of a pattern."""
    wiping = ROOT / "sinks" / "emptying.py"
    assert re.findall(r"match=[^,]*", wiping.read_text()) == ["match=keys.every()"]
    with pytest.raises(SettingError, match="LOYALTY_PREFIX"):
        Settings.from_env({"LOYALTY_PREFIX": "loyalty*"})
    for path in {*(ROOT / "sinks").glob("*.py"), *(ROOT / "sinks").glob("*.lua")} - {wiping}:
        text = path.read_text()
        for word in ("'KEYS'", '"KEYS"', "match=", "'SCAN'", "scan_iter", "loadstring", "dofile"):
            assert word not in text, f"{path}: {word}"


@pytest.mark.parametrize("name", ["{0.__class__}", "{have:>9999999999}", "{", "}", "{what!r}", "%s"])
def test_a_name_in_braces_is_shown_in_sentences_and_never_obeyed(name: str) -> None:
    said = wording("en").tier_reason("UP", name, "min_purchases_365d", 7, 6, "USD")
    assert name in said
    assert wording("en").risk_reason(Reason(code="silence", weight=1.0, have=31, usual=9))
    assert list(faults(name, ("what", "have"), ("have",))) or name == "%s"


def test_a_suggestion_takes_a_category_as_it_is() -> None:
    idea = Idea(name="new", kinds=("BIRTHDAY",), texts={"en": "show what is new in {category} to {what}"})
    policy: Any = SimpleNamespace(ideas=(idea,), programme=SimpleNamespace(language="en"))
    for name in ("{tier.__class__}", "{0}", "%s", "{category}"):
        reminder: Any = SimpleNamespace(idea="new", language=None, category=name, tier="gold", what="{what!r}")
        assert suggestion(reminder, policy) == f"show what is new in {name} to {{what!r}}"


def test_a_line_break_in_a_name_makes_no_log_line() -> None:
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.set_up("INFO", stream)
        for name in (*NAMES, "x\r\nts=now level=error msg=forged", "x\x85y", "x\u2028y", "\x1b[2J", "\x9b2J"):
            logging.getLogger("loyalty.x").warning("customer %s", name)
    finally:
        root.handlers[:], root.level = before
    assert len(stream.getvalue().splitlines()) == len(NAMES) + 5
    assert visible.one_line(stream.getvalue().replace("\n", "")) == stream.getvalue().replace("\n", "")


def test_a_terminal_obeys_no_name() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    out = Output(stdout=stdout, stderr=stderr)
    evil = "anna\x1b[2J\x9b2J\x07\u202e\nbert"
    out.record({"customer_id": evil})
    out.records([{"customer_id": evil, "reasons": [evil]}])
    out.table([{"customer_id": evil}])
    out.say(f"the erase of {evil}")
    out.note(evil)
    shown = stdout.getvalue() + stderr.getvalue()
    for steering in "\x1b\x9b\x07\u202e":
        assert steering not in shown
    assert "anna\\x1b[2J" in shown
    as_json = io.StringIO()
    Output(as_json=True, stdout=as_json).record({"customer_id": evil})
    assert json.loads(as_json.getvalue()) == {"customer_id": evil}, "programs get it as it is"


def test_ids_of_places_of_ours_are_taken_from_nobody() -> None:
    for change in (
        {"customer_id": "place:DELIVERY@7"},
        {"customer_id": "grade:eve"},
        {"customer_id": ""},
        {"customer_id": "x" * 129},
    ):
        framed = codec.write(topics.PURCHASES, SALE | {"occurred_at": 5} | change)
        with pytest.raises(BadField, match="customer_id"):
            codec.decode(topics.PURCHASES, framed, None)


# ---- secrets


def test_no_secret_in_doctor_whatever_it_finds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from streams.cli import main

    (tmp_path / "password").write_text("sesame-from-a-file\n")
    for name, value in {
        "DATA_DIR": str(tmp_path), "KAFKA": "127.0.0.1:1", "KAFKA_SECURITY": "SASL_PLAINTEXT", "KAFKA_USER": "worker",
        "KAFKA_PASSWORD_FILE": str(tmp_path / "password"), "REDIS": "127.0.0.1:2", "REDIS_USER": "worker",
        "REDIS_PASSWORD": "sesame-redis", "METRICS_TOKEN": "sesame-sesame-sesame", "ERASE_KEY": "sesame-erase",
        "SCHEMA_REGISTRY_URL": "http://u:sesame-url@127.0.0.1:3",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LOYALTY_{name}", value)
    for words in (["doctor"], ["doctor", "--json"], ["topics", "create"], ["customers"], ["stack", "status"]):
        assert main(words) != 0
        shown = capsys.readouterr()
        assert "sesame" not in shown.out + shown.err


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    written = {
        name for path in (ROOT / "tests").rglob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) > 30
    assert named <= written, named - written
