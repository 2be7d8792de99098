"""The Containerfile installs as the Makefile does, the Compose file loads as Compose loads it, the probe asks rightly.

No image is built here: that needs a daemon and base images, which neither this machine nor CI has.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from streams import app
from streams.health import HealthServer
from streams.settings import Settings, unknown_variables
from tests.conftest import ROOT
from tests.deploy.conftest import Tool

CONTAINERFILE = ROOT / "infra" / "container" / "Containerfile"
IGNORED = CONTAINERFILE.with_name("Containerfile.dockerignore")
PROBE = ROOT / "infra" / "container" / "probe.py"
COMPOSE = ROOT / "infra" / "compose"
SECRETS = dict.fromkeys(
    ("LOYALTY_ERASE_KEY", "LOYALTY_METRICS_TOKEN", "LOYALTY_CONSOLE_TOKEN", "GRAFANA_PASSWORD"), "x" * 32
) | {"LOYALTY_CONSOLE_READ_TOKEN": "y" * 32}


def steps() -> list[str]:
    """The Containerfile's instructions, without comments."""
    return [line for line in CONTAINERFILE.read_text().splitlines() if line and not line.startswith("#")]


def installs(text: str) -> list[str]:
    """What pip is told to install for `make install`, without the packages that a container has no use for."""
    wanted = []
    for line in re.findall(r"(?:\$\(PIP\)|-m pip) install (.*)", text):
        words = line.replace("$(REQ)", "requirements").replace("$", "").split()
        kept = [word for word in words if word not in ("--quiet", "-qq")]
        for unneeded in ("stack", "study"):
            if f"requirements/{unneeded}.txt" in kept:
                place = kept.index(f"requirements/{unneeded}.txt")
                del kept[place - 1 : place + 1]
        wanted.append(" ".join(kept))
    return wanted


def test_the_image_is_installed_as_make_install_does() -> None:
    recipe = (ROOT / "Makefile").read_text().partition(".venv/.installed: ")[2].partition("@touch")[0]
    ours = [line for line in installs(recipe) if "data.txt" not in line]  # real tills to look at: not in an image
    assert len(ours) == 3
    assert installs("\n".join(steps())) == ours


def test_the_image_runs_as_nobody_and_carries_no_build_tools() -> None:
    lines = steps()
    last = lines[max(place for place, line in enumerate(lines) if line.startswith("FROM")) :]
    assert "USER 10001:10001" in last
    assert 'ENTRYPOINT ["loyalty"]' in last
    assert not [line for line in last if line.startswith(("RUN", "ADD"))]
    assert [line for line in lines if line.startswith("COPY") and "--from" not in line][-1] == "COPY . ."


def test_what_is_copied_is_what_runs() -> None:
    kept = {line[1:] for line in IGNORED.read_text().splitlines() if line.startswith("!")}
    assert {"streams", "sinks", "schemas", "processors", "infra", "pyproject.toml", "requirements"} <= kept
    assert all((ROOT / name).exists() for name in kept)
    assert "*" in IGNORED.read_text().splitlines()


@pytest.fixture(scope="module")
def project(tool: Tool) -> dict[str, Any]:
    """The Compose project as Compose loads it: names, references and types checked."""
    loaded: dict[str, Any] = yaml.safe_load(tool("compose", str(COMPOSE / "compose.yaml"), **SECRETS))
    return loaded


def test_compose_starts_what_the_page_says(project: dict[str, Any]) -> None:
    assert set(project["services"]) == {
        "kafka", "redis", "topics", "worker-1", "worker-2", "exporter", "console", "prometheus", "grafana",
    }  # fmt: skip


def test_a_wrong_name_is_noticed(tool: Tool, tmp_path: Path) -> None:
    broken = (COMPOSE / "compose.yaml").read_text().replace("redis: {condition", "rediss: {condition")
    (tmp_path / "compose.yaml").write_text(broken)
    with pytest.raises(AssertionError, match="rediss"):
        tool("compose", str(tmp_path / "compose.yaml"), **SECRETS)


def test_ours_run_read_only_without_rights_and_with_settings_that_exist(project: dict[str, Any]) -> None:
    ours = {name: one for name, one in project["services"].items() if one["image"] == "loyalty"}
    assert len(ours) == 5
    for name, one in ours.items():
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"]), name
        environ = one["environment"]
        assert unknown_variables(environ) == []
        Settings.from_env({key: value for key, value in environ.items() if not key.endswith("_FILE")} | SECRETS)
        secrets = {f"/run/secrets/{secret['source']}" for secret in one["secrets"]}
        assert {value for key, value in one["environment"].items() if key.endswith("_FILE")} <= secrets
    for name in ("worker-1", "worker-2"):
        assert ours[name]["environment"]["LOYALTY_INSTANCE"] == name
        assert ours[name]["stop_grace_period"] == "1m30s"
        assert app.REBALANCE_TIMEOUT_S < 90


def test_servers_are_set_as_the_page_for_ops_asks(project: dict[str, Any]) -> None:
    redis = " ".join(project["services"]["redis"]["command"])
    assert "--maxmemory-policy noeviction" in redis
    assert "--appendonly yes" in redis
    kafka = project["services"]["kafka"]["environment"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert int(kafka["KAFKA_MESSAGE_MAX_BYTES"]) == 2_097_152


def test_everything_is_published_on_loopback_alone(project: dict[str, Any]) -> None:
    published = [port for one in project["services"].values() for port in one.get("ports", [])]
    assert len(published) == 4
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}


def test_mounted_files_are_there_and_prometheus_asks_what_runs(project: dict[str, Any]) -> None:
    for one in project["services"].values():
        for volume in one.get("volumes", []):
            if volume["type"] == "bind" and not volume["source"].endswith(("prometheus", "grafana")):
                assert (COMPOSE / volume["source"]).exists(), volume["source"]
    scraped = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for config in job["static_configs"] for target in config["targets"]}
    hosts = {target.rpartition(":")[0] for target in targets} - {"127.0.0.1"}
    assert hosts == {"worker-1", "worker-2", "exporter"}


def probe(path: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROBE), path], env=environ, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_probe_says_what_the_worker_says(tmp_path: Path) -> None:
    token = "t" * 32
    (tmp_path / "token").write_text(token + "\n")
    missing: list[str] = []

    async def not_ready() -> list[str]:
        return missing

    async def ask() -> None:
        server = HealthServer(CollectorRegistry(), list, not_ready, token)
        await server.start("127.0.0.1", 0)
        where = {"LOYALTY_METRICS": f"0.0.0.0:{server.port}", "LOYALTY_METRICS_TOKEN_FILE": str(tmp_path / "token")}
        try:
            for path in ("livez", "readyz"):
                assert (await asyncio.to_thread(probe, path, **where)).returncode == 0
            missing.append("Redis takes no writes")
            done = await asyncio.to_thread(probe, "readyz", **where)
            assert (done.returncode, "Redis takes no writes" in done.stderr) == (1, True)
            assert (await asyncio.to_thread(probe, "livez", LOYALTY_METRICS=where["LOYALTY_METRICS"])).returncode == 1
        finally:
            await server.stop()
        gone = await asyncio.to_thread(probe, "livez", **where)
        assert (gone.returncode, gone.stderr.startswith("livez:  no answer")) == (1, True)

    asyncio.run(ask())
