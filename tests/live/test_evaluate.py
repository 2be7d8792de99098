"""R5: `loyalty evaluate risk` on the history as it lies in Kafka says what it says of the same data set."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.policy import load_policy
from streams.study.reviews import cases_of, of_dataset, protocol_of, trained
from tests.conftest import ROOT

pytestmark = pytest.mark.live

Loyalty = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_R5_the_history_in_kafka_is_evaluated(
    loyalty: Loyalty, fresh_topics: Callable[[], None], tmp_path: Path
) -> None:
    fresh_topics()
    for words in (("import-dataset", "cdnow-sample"), ("evaluate", "risk", "--json", "--write", str(tmp_path))):
        done = loyalty(*words)
        assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    policy, found = load_policy((ROOT / "infra" / "policy.toml").read_text()), of_dataset("cdnow-sample")
    protocol = protocol_of(found, policy)
    cases = cases_of(found, protocol, trained(found, protocol, policy))
    assert made["cases"][1] == sum(case.day in protocol.test for case in cases)
    assert made["left"][1] == sum(case.left for case in cases if case.day in protocol.test)
    assert {row["name"] for row in made["scores"]} >= {"silence", "score, fitted on the past"}
    assert (tmp_path / "risk.md").read_text().startswith("# How well leaving is seen early")
    assert len(list((tmp_path / "risk").glob("history-*.svg"))) == 3
