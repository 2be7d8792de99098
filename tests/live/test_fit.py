"""R1, V3: `loyalty fit` on the history as it lies in Kafka: the literature's values, and sections that are a policy."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.policy import load_policy
from schemas import topics
from schemas.partitioner import partition_of
from streams.replay import read_histories
from streams.settings import Settings
from tests.conftest import PARTITIONS, ROOT
from tests.live.running import producing

pytestmark = pytest.mark.live

Loyalty = Callable[..., "subprocess.CompletedProcess[str]"]


def must(loyalty: Loyalty, *words: str) -> str:
    done = loyalty(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def imported(loyalty: Loyalty, fresh_topics: Callable[[], None]) -> Loyalty:
    fresh_topics()
    must(loyalty, "import-dataset", "cdnow-sample")
    return loyalty


def test_R1_the_fit_of_the_cdnow_sample_is_the_literatures(imported: Loyalty, tmp_path: Path) -> None:
    wanted = ("fit", "--model", "bg_nbd", "--until", "1997-10-01")
    section, plot = tmp_path / "section.toml", tmp_path / "plot.svg"
    found: dict[str, Any] = json.loads(must(imported, *wanted, "--json", "--write", str(section), "--plot", str(plot)))
    fitted = {name: round(value, 3) for name, value in found["parameters"].items()}
    assert fitted == {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
    assert round(found["log_likelihood"], 1) == -9582.4
    assert (found["until"], found["customers"], found["back"], found["trusted"]) == ("1997-09-30", 2357, 946, True)
    assert plot.read_text().lstrip().startswith("<?xml")
    policy = load_policy(pasted(section.read_text()))
    assert (policy.model.kind, round(policy.model.r, 3)) == ("bg_nbd", 0.243)
    assert policy.spend is not None
    assert round(policy.spend.p, 2) == round(found["spend"]["p"], 2)
    if found["weights"] is not None:
        assert round(policy.risk.weights.no_purchase, 3) == round(found["weights"]["values"]["no_purchase"], 3)


def pasted(section: str) -> str:
    """The policy of `infra/` with the tables that `section` has in place of its own."""
    lines, skipping = [], False
    for line in (ROOT / "infra" / "policy.toml").read_text().splitlines():
        if line.startswith("["):
            skipping = line.split("#")[0].strip() in ("[clv]", "[risk]", "[risk.weights]")
        if not skipping:
            lines.append(line)
    return "\n".join([*lines, section])


def test_what_is_said_to_people_and_of_wrong_words(imported: Loyalty) -> None:
    said = must(imported, "fit", "--until", "1997-10-01")
    assert "mbg_nbd, 2,357 customers to 1997-09-30" in said
    assert "can be trusted" in said
    wrong = imported("fit", "--until", "1997-13-01")
    assert (wrong.returncode, "must be a day, as 2017-12-31" in wrong.stderr) == (2, True)
    early = imported("fit", "--until", "1990-01-01")
    assert (early.returncode, "nobody has bought" in early.stderr) == (1, True)


def test_D4_of_an_erased_customer_nothing_is_read(imported: Loyalty, settings: Settings) -> None:
    before = read_histories(settings.kafka)
    gone = next(iter(before.events))
    asyncio.run(erase(settings, gone))
    after = read_histories(settings.kafka)
    assert set(before.events) - set(after.events) == {gone}
    assert after.unreadable == 0


async def erase(settings: Settings, gone: str) -> None:
    async with producing(settings.kafka) as producer:
        place = partition_of(gone.encode(), PARTITIONS)
        await producer.send_and_wait(topics.CUSTOMERS, None, key=gone.encode(), partition=place)
