"""W1-W4 on the real stack: who brought whom travels between partitions, and is shown where people look."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.days import DAY_MS
from schemas.partitioner import partition_of
from tests.conftest import PARTITIONS

pytestmark = pytest.mark.live

FIRST = 17_000 * DAY_MS + 3_600_000  # 2016-07-18, UTC
BROUGHT = ("bob", "carl", "dora", "emil")
LEAD = "frida"


def sale(customer: str, day: int, **more: Any) -> dict[str, Any]:
    line = {"category": "cd", "quantity": 1, "net_amount": 4_000}
    return {
        "event_id": f"{customer}-{day}", "customer_id": customer, "occurred_at": FIRST + day * DAY_MS, "kind": "SALE",
        "store_id": "7", "currency": "USD", "lines": [line], **more,
    }  # fmt: skip


def test_W1_W2_W3_W4_word_of_mouth_reaches_views_alerts_and_summary(
    tmp_path: Path, loyalty: Callable[..., subprocess.CompletedProcess[str]], fresh_topics: Callable[[], None]
) -> None:
    fresh_topics()
    assert len({partition_of(name.encode(), PARTITIONS) for name in ("anna", *BROUGHT, LEAD)}) > 1

    def must(*words: str) -> list[dict[str, Any]]:
        done = loyalty(*words, "--json", LOYALTY_CLOCK="data")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def load(topic: str, rows: list[dict[str, Any]], *words: str) -> None:
        file = tmp_path / f"{topic}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        must("import", topic, str(file), *words)

    contact = {"event_id": "c1", "customer_id": "anna", "occurred_at": FIRST + 40 * DAY_MS, "kind": "REFERRAL",
               "direction": "IN", "channel": "store", "referred_customer_id": LEAD}  # fmt: skip
    complaint = {"event_id": "k1", "customer_id": "anna", "occurred_at": FIRST + 75 * DAY_MS, "complaint_id": "k1",
                 "status": "OPENED", "severity": 5, "about": "STAFF"}  # fmt: skip
    load("contacts", [contact])
    load("complaints", [complaint])
    bought = [sale("anna", day) for day in range(0, 80, 7)]
    bought += [sale(name, day, referrer_id="anna") for name in BROUGHT for day in range(10, 80, 7)]
    load("purchases", sorted(bought, key=lambda one: one["occurred_at"]), "--ticks")
    must("worker", "--until-caught-up")

    views = {seen["customer_id"]: seen for seen in must("customers")}
    anna = views["anna"]
    stored = {name: must("customer", name, "--as-stored")[0] for name in ("anna", *BROUGHT)}
    brought = 0.10 * sum(stored[name]["clv"] for name in BROUGHT)
    assert brought > 100
    assert stored["anna"]["network_value"] == pytest.approx(stored["anna"]["clv"] + brought, abs=1)
    assert anna["network_value"] > anna["clv"]
    assert anna["referrals_365d"] == len(BROUGHT) + 1
    for name in BROUGHT:
        assert views[name]["referrer_id"] == "anna"
        assert "referrer_gone" in {reason["code"] for reason in views[name]["risk_reasons"]}
    assert (views[LEAD]["referrer_id"], views[LEAD]["lifetime_purchases"]) == ("anna", 0)

    (summary,) = must("summary")
    mouth = summary["word_of_mouth"]
    assert (mouth["gained"], mouth["gained_referred"], mouth["leads"]) == (len(BROUGHT) + 1, len(BROUGHT), 1)
    assert (mouth["referrers"], mouth["unhappy"]) == (1, 1)
    assert mouth["sales"] == len(bought) - len(range(0, 80, 7))
    text = loyalty("summary", LOYALTY_CLOCK="data").stdout
    assert "Word of mouth: 4 of 5 customers (80.0%) came through others" in text
