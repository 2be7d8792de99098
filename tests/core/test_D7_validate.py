"""D7: a file is judged as the worker judges its records: held against a partition's loop that was given them."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import write
from schemas.topics import CONTACTS, CUSTOMERS, PURCHASES
from streams.cli import main
from streams.producers import producers
from streams.rows import json_rows
from streams.validating import CONFLICT, DEAD, ELSEWHERE, KNOWN, OK, Validator, Verdict
from tests.core.test_D7_producers import AWAY
from tests.core.test_partition import ANNA, BO, HORIZON, HOUR, Driven, P, T

LINE = {"category": "cd", "quantity": 1, "net_amount": 5}
SALE: dict[str, Any] = {"kind": "SALE", "store_id": "s", "currency": "USD", "lines": [LINE]}

sales = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["1", "2", "3", "4"]),
        "customer_id": st.sampled_from([ANNA, BO, AWAY]),
        "occurred_at": st.sampled_from([T, T - 1, T - HORIZON, T - HORIZON - 1, T + 26 * HOUR, T + 26 * HOUR + 1]),
        "currency": st.sampled_from(["USD", "USD", "USD", "ZWL"]),
        "lines": st.sampled_from([SALE["lines"], [{"category": "cd", "quantity": 1, "net_amount": 10**18}]]),
    }
)
values = st.one_of(
    sales.map(lambda fields: write(PURCHASES, SALE | fields)),
    st.sampled_from([b"", b"\xc3\x01", b"\x00\x00\x00\x00\x07x", b"plain"]),
    sales.map(lambda fields: write(PURCHASES, SALE | fields)[:-3]),
)


@given(st.lists(st.tuples(values, st.sampled_from([ANNA, BO, AWAY])), max_size=12))
@settings(max_examples=80)
def test_D6_D7_the_verdict_is_what_the_worker_then_does(records):
    one = Driven()
    one.tick(T)
    one.run()
    for value, key in records:
        one.put(PURCHASES, value, at=T, key=key)
    one.run()
    work = Validator(PURCHASES, one.config, T, T)
    made = [
        {"key": key, "value": base64.b64encode(value).decode(), "partition": P, "timestamp": T}
        for value, key in records
    ]
    verdicts = list(work.records(io.BytesIO("\n".join(map(json.dumps, made)).encode())))
    kpi = one.store.partition(P).kpi
    assert Counter(v.error for v in verdicts if v.verdict == DEAD) == Counter(error for error, _ in one.errors())
    assert work.counts[ELSEWHERE] == kpi[f"rerouted:{PURCHASES}"]
    assert work.counts[CONFLICT] == kpi["conflicts:Purchase"]
    assert work.counts[KNOWN] + work.counts[CONFLICT] == kpi["duplicates:Purchase"]
    assert work.counts.total() == len(records)
    assert [(p.store, p.events, p.misplaced, p.dead_lettered, p.repeated) for p in work.producers] == [
        (p.store, p.events, p.misplaced, p.dead_lettered, p.repeated) for p in producers(kpi)
    ]
    assert work.fine == (not (one.errors() or kpi[f"rerouted:{PURCHASES}"] or kpi["conflicts:Purchase"]))


def rows(topic: str, *fields: dict[str, Any], clock: int | None = T) -> list[Verdict]:
    text = "\n".join(json.dumps(one) for one in fields).encode()
    return list(Validator(topic, Driven().config, T, clock).rows(json_rows(io.BytesIO(text), topic)))


def test_D7_rows_are_judged_with_their_line_and_the_field() -> None:
    good = SALE | {"event_id": "e", "customer_id": ANNA, "occurred_at": T}
    found = rows(
        PURCHASES, good, good, good | {"store_id": "other"}, good | {"event_id": "f", "kind": "GIFT"},
        good | {"event_id": "g", "currency": "ZWL"}, good | {"event_id": "h", "occurred_at": T - HORIZON - 1},
        {"event_id": "i"}, good | {"event_id": "j", "customer_id": AWAY},
    )  # fmt: skip
    verdicts = [one.verdict for one in found]
    assert verdicts == [OK, KNOWN, CONFLICT, DEAD, DEAD, DEAD, DEAD, OK], "a row goes to where its customer belongs"
    assert [one.line for one in found] == list(range(1, 9))
    assert [one.error for one in found if one.error] == ["BadRow", "UnknownCurrency", "TooLate", "BadField"]
    assert "kind" in (found[3].message or "")
    assert "currency" in (found[4].message or "")
    assert "customer_id" in (found[6].message or "")
    old = rows(PURCHASES, good | {"occurred_at": T - HORIZON - 1}, clock=None)
    assert [one.verdict for one in old] == [OK], "history, before the first tick"


def raw(topic: str, *records: dict[str, Any]) -> list[Verdict]:
    text = "\n".join(json.dumps(one) for one in records).encode()
    return list(Validator(topic, Driven().config, T, T).records(io.BytesIO(text)))


def test_D7_a_record_of_the_wrong_key_or_partition_is_told_the_way() -> None:
    value = base64.b64encode(write(PURCHASES, SALE | {"event_id": "e", "customer_id": ANNA, "occurred_at": T})).decode()
    right, crc, foreign, none = raw(
        PURCHASES, {"key": ANNA, "value": value}, {"key": ANNA, "value": value, "partition": 1 - P},
        {"key": AWAY, "value": value}, {"value": value},
    )  # fmt: skip
    assert (right.verdict, crc.verdict, foreign.verdict, none.verdict) == (OK, ELSEWHERE, ELSEWHERE, ELSEWHERE)
    assert "murmur2_random" in (crc.message or "")
    assert f"the key is {AWAY.encode()!r}" in (foreign.message or "")
    assert "has no key" in (none.message or "")


def test_D7_profiles_erases_and_what_is_no_record() -> None:
    profile = write(CUSTOMERS, {"event_id": "p", "customer_id": ANNA, "occurred_at": T, "joined_at": T})
    value = base64.b64encode(profile).decode()
    found = raw(CUSTOMERS, {"key": ANNA}, {"key": ANNA, "value": value}, {"key": BO, "value": value}, {"value": "%"})
    assert [(one.verdict, one.error) for one in found] == [
        (OK, None), (OK, None), (DEAD, "BadKey"), (DEAD, "BadRow"),
    ]  # fmt: skip


def test_D7_the_command_ends_with_1_where_something_is_to_be_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"event_id": "k", "customer_id": "anna", "occurred_at": T, "kind": "VISIT", "direction": "IN"}
    good["channel"] = "web"
    file = tmp_path / "contacts.jsonl"
    file.write_text(json.dumps(good) + "\n")
    assert main(["validate", CONTACTS, str(file), "--clock", str(T)]) == 0
    assert "1 records for contacts: 1 ok" in capsys.readouterr().out
    file.write_text(json.dumps(good) + "\n" + json.dumps(good | {"score": 11}) + "\n")
    assert main(["validate", CONTACTS, str(file), "--clock", str(T), "--json"]) == 1
    bad, told = map(json.loads, capsys.readouterr().out.splitlines())
    assert (bad["line"], bad["verdict"], "score" in bad["message"]) == (2, "dead_letter", True)
    assert (told["records"], told["ok"], told["dead_letters"]) == (2, 1, 1)
    assert told["producers"][0]["channel"] == "web"
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(good).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["validate", CONTACTS, "-", "--clock", str(T)]) == 0
    assert main(["validate", "contact", str(file)]) == 2
    assert "did you mean contacts?" in capsys.readouterr().err
