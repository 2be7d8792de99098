"""The committed dashboards are those of the code, name only what is measured, and every query parses."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.grafana.dashboards import HERE, dashboards, text_of, write_all
from infra.grafana.panels import COLUMNS, queries
from tests.conftest import ROOT
from tests.prometheus import unknown_names, worker_families

BOARDS = dashboards()


def test_the_committed_files_are_those_of_the_code(tmp_path: Path) -> None:
    write_all(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in HERE.glob("*.json")}, "run python -m infra.grafana"
    assert made == {name: text_of(board) for name, board in BOARDS.items()}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_query_parses_and_names_only_what_is_measured(
    board: dict[str, Any], promtool: str, tmp_path: Path
) -> None:
    asked = queries(board)
    assert len(asked) > 10
    assert not {name for query in asked for name in unknown_names(query)}
    rules = [
        {"record": f"panel:number_{number}:asked", "expr": query.replace("$__rate_interval", "1m")}
        for number, query in enumerate(asked)
    ]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_have_ids_of_their_own_a_help_and_a_place_that_no_other_has(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in panels if panel["type"] != "row")
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        x, y, width, height = (panel["gridPos"][side] for side in "xywh")
        assert x + width <= COLUMNS
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_runbook_that_a_panel_names_is_there(board: dict[str, Any]) -> None:
    named = re.findall(r"Runbook (\w+)", text_of(board))
    assert named
    assert not [name for name in named if not (ROOT / "docs" / "runbooks" / f"{name}.md").exists()]


def test_what_a_worker_measures_is_shown_or_alerted_on() -> None:
    shown = " ".join(query for board in BOARDS.values() for query in queries(board))
    shown += "".join(path.read_text() for path in (ROOT / "infra" / "prometheus").glob("*.rules.yml"))
    unseen = {family for family in worker_families() if family not in shown}
    assert unseen == {
        "loyalty_first_fetch_timestamp_seconds",  # what `make bench` divides by
        "loyalty_last_commit_timestamp_seconds",
        "loyalty_stalled_seconds",  # /livez fails by it, and a runbook asks for it
    }
