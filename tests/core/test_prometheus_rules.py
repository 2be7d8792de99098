"""infra/prometheus and docs/runbooks held together: each alert fires and is silent where its tests say, names only what
is measured, and has a page whose queries parse and whose commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams import cli
from tests.conftest import ROOT
from tests.prometheus import PROGRAMME, unknown_names, worker_names

HOME = ROOT / "infra" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["## What it means", "## What to look at", "## What to do", "## It is mended when"]
OTHERS = {"curl", "kill", "redis-cli"}
"""Commands of a runbook that are not ours."""


def rules(of: str = "*.rules.yml") -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted(HOME.glob(of))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def cases() -> Iterator[tuple[str, bool]]:
    """(alert, whether it is to fire) of each case of the rules' own tests."""
    for path in sorted((HOME / "tests").glob("*.test.yml")):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for asked in test["alert_rule_test"]:
                yield asked["alertname"], bool(asked["exp_alerts"])


def run(promtool: str, *words: str, cwd: Path = HOME) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_the_example_configuration_and_all_rules_are_valid(promtool: str) -> None:
    done = run(promtool, "check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_and_is_silent_as_its_tests_say(promtool: str) -> None:
    done = run(promtool, "test", "rules", *(str(path) for path in sorted((HOME / "tests").glob("*.test.yml"))))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("test", "was", "becomes"), [
    ("worker", "loyalty_outbox_age_seconds) > 60", "loyalty_outbox_age_seconds) > 6000"),
    ("programme", '"gold"} > 97', '"gold"} > 89'),
])  # fmt: skip
def test_a_rule_that_is_changed_fails_them(promtool: str, tmp_path: Path, test: str, was: str, becomes: str) -> None:
    file = f"{test.partition('-')[0]}.rules.yml"
    text = (HOME / file).read_text()
    assert was in text
    (tmp_path / "tests").mkdir()
    (tmp_path / file).write_text(text.replace(was, becomes))
    copy = tmp_path / "tests" / f"{test}.test.yml"
    copy.write_text((HOME / "tests" / copy.name).read_text())
    done = run(promtool, "test", "rules", str(copy))
    assert done.returncode != 0
    assert "got:" in done.stdout + done.stderr


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    found = set(cases())
    assert found == {(name, fires) for name in ALERTS for fires in (True, False)}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_its_page_lies(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    page = RUNBOOKS / f"{name}.md"
    text = page.read_text()
    assert text.startswith(f"# {name}\n\nSeverity: {rule['labels']['severity']}.")
    assert [line for line in text.splitlines() if line.startswith("## ")] == SECTIONS
    assert f"[{name}]({name}.md) | {rule['labels']['severity']} |" in (RUNBOOKS / "README.md").read_text()


def test_there_is_no_page_without_an_alert_and_no_link_into_nothing() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {"README", *ALERTS}
    links = [
        (page.name, link)
        for page in RUNBOOKS.glob("*.md")
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not links


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_only_what_is_measured(rule: dict[str, Any]) -> None:
    assert not unknown_names(rule["expr"])


def test_a_name_that_nobody_measures_is_seen() -> None:
    assert unknown_names("sum(loyalty_thing) + loyalty_records_total + loyalty_customers") == {"loyalty_thing"}
    assert unknown_names("partition:loyalty_records_lag:sum > 0") == set()
    assert not worker_names() & PROGRAMME


def test_what_is_recorded_and_asked_for_is_recorded_under_that_name() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for path in RUNBOOKS.glob("*.md") for name in re.findall(r"\b\w+:loyalty_\w+:\w+", path.read_text())}
    assert asked <= recorded


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(page, line) of each line of code in a language on the runbooks' pages."""
    for page in sorted(RUNBOOKS.glob("*.md")):
        for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S):
            for line in filter(str.strip, block.splitlines()):
                yield page.name, line.strip()


def test_every_query_of_a_runbook_parses_and_names_only_what_is_measured(promtool: str, tmp_path: Path) -> None:
    found = list(blocks("promql"))
    assert len(found) > 3 * len(ALERTS)
    assert not [(page, unknown_names(line)) for page, line in found if unknown_names(line)]
    asked = [{"record": f"runbook:line_{number}:asked", "expr": line} for number, (_, line) in enumerate(found)]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asked}]}))
    done = run(promtool, "check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_of_a_runbook_exists_with_its_options() -> None:
    found = list(blocks("sh"))
    assert len(found) > len(ALERTS)
    for page, line in found:
        program, *words = shlex.split(line)
        if program != "loyalty":
            assert program in OTHERS, f"{page}: {line}"
            continue
        try:
            args = cli.parser(cli._selected(words)).parse_args(words)
        except SystemExit:
            pytest.fail(f"{page}: `{line}` is no command")
        assert args.entry, f"{page}: {line}"


def test_the_shipped_policys_tiers_with_a_span_are_watched_beyond_it() -> None:
    policy = tomllib.loads((ROOT / "infra" / "policy.toml").read_text())
    days = {tier["name"]: tier["care_every_days"] for tier in policy["tiers"] if "care_every_days" in tier}
    watched = re.findall(r'tier="(\w+)"} > (\d+) \* 86400', ALERTS["LoyaltyCustomerUntouched"]["expr"])
    assert {tier: int(limit) for tier, limit in watched} == {tier: span + 7 for tier, span in days.items()}
