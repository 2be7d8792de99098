"""What a worker's log says of records: where they lay and whose they were, by a mark; never an id, never a field."""

from __future__ import annotations

import hmac
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, PURCHASES
from sinks.commit import Commit
from sinks.dead_letters import dead_letter
from sinks.marks import Mark, Marks
from streams import logs, told_log
from tests.core.test_partition import Driven, P
from tests.core.test_runner import lived

KEY = b"a key of marks"


@contextmanager
def logged(form: str = "json", level: str = "DEBUG") -> Iterator[io.StringIO]:
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.set_up(level, stream, form)
        yield stream
    finally:
        root.handlers[:], root.level = before


def test_a_mark_is_a_keyed_hash_and_without_a_key_that_of_one_run() -> None:
    marks = Marks(KEY)
    assert marks.of("安娜") == hmac.digest(KEY, "安娜".encode(), "sha256").hex()[:16] == marks.of("安娜".encode())
    assert Marks().of("anna") != Marks().of("anna")
    one_run = Marks()
    assert one_run.of("anna") == one_run.of("anna")


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_customer_in_a_log_is_a_mark_or_nothing(form: str) -> None:
    with logged(form) as stream:
        for customer in ("anna", b"anna", Marks(KEY).of("anna")):
            logging.getLogger("loyalty.x").warning("seen", extra={"customer": customer, "partition": 3})
    lines = stream.getvalue().splitlines()
    assert "anna" not in stream.getvalue()
    assert [Marks(KEY).of("anna") in line for line in lines] == [False, False, True]


def test_no_line_of_a_run_takes_an_id_and_each_dead_letter_is_told_with_its_place() -> None:
    ids = [f"customer-{n}-\u5b89" for n in range(4)]

    shop = Driven()
    for n, name in enumerate(ids):
        shop.buy(name, 1_000 + n, employee_id=name)
        shop.put(PURCHASES, b"\0poison " + name.encode(), at=1_010 + n, key=name)
    shop.put(COMPLAINTS, b"", at=1_020, key=ids[0])
    shop.put(CONTACTS, b"\xc3\x01short", at=1_021, key=None)
    shop.buy(ids[1], 1_030, currency="XXX")
    shop.erase(ids[2], 1_040)
    shop.put(CUSTOMERS, ids[3].encode(), at=1_050, key=ids[3])
    shop.tick(2_000)
    with logged() as stream:
        lived(shop, told_log.Telling(Marks(KEY)))
    log = stream.getvalue()
    assert not [name for name in ids if name in log or json.dumps(name)[1:-1] in log]
    told = [json.loads(line) for line in log.splitlines()]
    dead = [line for line in told if line["logger"] == "loyalty.dead_letters"]
    assert len(dead) == told_log.MOST
    for line in dead:
        key = shop.logs[line["topic"]][line["offset"]].key
        assert line["partition"] == P
        assert line.get("customer") == (None if key is None else Marks(KEY).of(key))
    assert {line["msg"] for line in dead} >= {"a dead letter: ConfluentFramed"}


def commit_of(number: int) -> Any:
    letters = [dead_letter(PURCHASES, P, n, b"anna", b"", (), "BadField", "x is anna", 5) for n in range(number)]

    class Some:
        counts = {"dead_letters:purchases:BadField": number} if number else {"records:purchases": 1}
        outbox = letters

    return Some()


def test_a_flood_of_dead_letters_is_told_in_a_few_lines_and_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(told_log.time, "monotonic", lambda: now[0])
    with logged() as stream:
        of = told_log.DeadLetterLog(P, Marks(KEY))
        for _ in range(50):
            of.committed(commit_of(20))
        now[0] += told_log.EVERY_S
        of.committed(commit_of(0))
        of.committed(commit_of(1))
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["msg"] for line in told] == [
        *["a dead letter: BadField"] * told_log.MOST,
        f"{50 * 20 - told_log.MOST} more dead letters: see `loyalty dead-letters list`",
        "a dead letter: BadField",
    ]
    assert "anna" not in stream.getvalue()
    assert told[0]["customer"] == Marks(KEY).of("anna")
    assert isinstance(Marks(KEY).of("anna"), Mark)
    assert Commit.__struct_fields__, "what stands in for a commit has two of its fields"
