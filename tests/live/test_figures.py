"""The programme's figures after a real import and a real worker: the same number wherever one looks; and the thresholds
of top shares, told once by a worker that has caught up."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.localstack import Stack
from processors.days import DAY_MS
from streams import datasets
from streams.exporter import Exporter
from streams.settings import Settings
from tests.conftest import ROOT, free_port
from tests.live.test_ask import Programme as Asked
from tests.oracle import programme as plain

pytestmark = pytest.mark.live

CUSTOMERS = 300
TOKEN = "a-token-of-16-and-more"
POLICY = """
[programme]
name = "figures"
version = 1
currency = "USD"
holdout = 0.2
[[tiers]]
name = "member"
[[tiers]]
name = "vital-few"
min_value_share_rank = 0.2
[tier_rules]
grace_days = 0
"""


class Programme(Asked):
    """Some customers of CDNOW under a policy with a tier for the top fifth."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        (folder / "policy.toml").write_text(POLICY)
        self.folder = folder
        super().__init__(stack)

    def must(self, *words: str) -> str:
        self.environ |= {
            "LOYALTY_POLICY": str(self.folder / "policy.toml"),
            "LOYALTY_PREFIX": f"figures{os.getpid()}",
            "LOYALTY_GROUP": f"figures{os.getpid()}",
        }
        if words[0] == "import-dataset":
            words = ("import-dataset", "cdnow", "--customers", str(CUSTOMERS))
        return super().must(*words)


@pytest.fixture(scope="module")
def programme(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Programme:
    return Programme(stack, tmp_path_factory.mktemp("figures"))


@pytest.fixture
def exporter(programme: Programme) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "streams", "exporter"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env=programme.environ | {"LOYALTY_EXPORTER": address},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if address in line and "/metrics" in line:
            break
    yield f"http://{address}"
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    assert process.wait(20) == 0


def told(programme: Programme) -> dict[plain.Key, Any]:
    return {plain.key(one["figure"], **one["labels"]): one["value"] for one in programme.json("kpi")}


def test_M1_V4_V5_kpi_exporter_and_a_plain_count_tell_the_same_numbers(programme: Programme, exporter: str) -> None:
    kpi = told(programme)
    views = programme.json("customers", "--as-stored")
    rows = list(datasets.cdnow_rows())
    names = {row.customer for row in rows}
    chosen = set(sorted(names)[:CUSTOMERS])
    events = [
        {"customer_id": row.customer, "occurred_at": row.day * DAY_MS + DAY_MS // 2}
        for row in rows
        if row.customer in chosen
    ]
    clock = (max(one["occurred_at"] for one in events) // DAY_MS + 1) * DAY_MS - 1
    expected = plain.figures(views, events, ["member", "vital-few"], "UTC", clock)
    assert {name: kpi.get(name) for name in expected} == pytest.approx(expected)
    assert len(views) == CUSTOMERS
    with urllib.request.urlopen(f"{exporter}/metrics") as answer:
        served = answer.read().decode()
    found = {
        plain.key(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(served)
        for sample in family.samples
    }
    assert found == pytest.approx({name: value for name, value in kpi.items() if value is not None})
    for path in ("livez", "readyz"):
        with urllib.request.urlopen(f"{exporter}/{path}") as answer:
            assert answer.status == 200
    page = programme.must("kpi")
    assert "Retention" in page or "retention" in page
    assert "vital-few" in page
    (web,) = programme.json("forecast", "--days", "365")
    assert web["store"] == "web"
    expected = sum(one["expected_purchases"] or 0 for one in programme.json("customers"))
    assert web["purchases_365d"] == pytest.approx(expected)


def test_the_exporter_says_what_is_missing_and_lets_nobody_in_without_the_token(programme: Programme) -> None:
    async def served(**settings: str) -> list[tuple[int, str]]:
        environ = {name: value for name, value in programme.environ.items() if name.startswith("LOYALTY_")}
        exporter = Exporter(Settings.from_env(environ | {"LOYALTY_EXPORTER": "127.0.0.1:0"} | settings))
        await exporter.start()
        answers = []
        async with aiohttp.ClientSession() as session:
            for path, headers in (("metrics", {}), ("readyz", {}), ("livez", {"Authorization": f"Bearer {TOKEN}"})):
                url = f"http://127.0.0.1:{exporter.port}/{path}"
                async with session.get(url, headers=headers) as answer:
                    answers.append((answer.status, await answer.text()))
        await exporter.stop()
        return answers

    nobody = asyncio.run(served(LOYALTY_PREFIX="nobody"))
    assert [status for status, _ in nobody] == [503, 503, 200]
    assert "no worker has been here yet" in nobody[0][1]
    away = asyncio.run(served(LOYALTY_REDIS=f"127.0.0.1:{free_port()}"))
    assert [status for status, _ in away] == [503, 503, 200]
    assert "Redis does not answer" in away[0][1]
    assert [status for status, _ in asyncio.run(served(LOYALTY_METRICS_TOKEN=TOKEN))] == [401, 401, 200]


def test_V5_T8_a_worker_that_caught_up_tells_the_thresholds_and_the_top_fifth_has_its_tier(
    programme: Programme,
) -> None:
    views = programme.json("customers", "--as-stored")
    values = sorted((one["value_365d"] for one in views), reverse=True)
    threshold = told(programme)[plain.key("loyalty_value_at_share", top="0.2")]
    assert threshold == pytest.approx(values[CUSTOMERS // 5 - 1], rel=0.01)
    few = {one["customer_id"] for one in views if one["tier"] == "vital-few"}
    assert few == {one["customer_id"] for one in views if one["value_365d"] >= threshold}
    assert 0.8 * CUSTOMERS // 5 <= len(few) <= 1.2 * CUSTOMERS // 5
    before = programme.json("subscribe", "ticks", "--from-beginning", "--until-end")
    programme.catch_up()
    after = programme.json("subscribe", "ticks", "--from-beginning", "--until-end")
    assert len(after) == len(before), "what all partitions know is not told again"
