"""Writes what the Helm chart's Strimzi option knows of topics and rights, from the topic table and the roles.

    python -m tests.deploy.chart

`tests/deploy/test_helm.py` holds the two files current.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from schemas.topics import TOPICS
from streams.roles import Grant, roles
from streams.settings import Settings
from tests.conftest import ROOT

CHART = ROOT / "infra" / "helm" / "loyalty"
KINDS = {"transactional_id": "transactionalId"}
HEAD = "# Written by `python -m tests.deploy.chart`; a test holds it current.\n"


def topics() -> list[dict[str, Any]]:
    """Each topic with its settings; no `partitions` where it has the programme's number."""
    return [
        {"name": topic.name, **({"partitions": topic.partitions} if topic.partitions else {}), "config": topic.config()}
        for topic in TOPICS.values()
    ]


def users() -> list[dict[str, Any]]:
    """Each role's rights as the operator wants them. Group and prefix are filled in when the chart is rendered."""
    settings = replace(Settings.from_env({}), group="{{ .Values.group }}", prefix="{{ .Values.prefix }}")
    return [{"name": role.name, "acls": [_acl(grant) for grant in role.kafka]} for role in roles(settings)]


def _acl(grant: Grant) -> dict[str, Any]:
    kind = KINDS.get(grant.kind, grant.kind)
    named = {} if kind == "cluster" else {"name": grant.name, "patternType": "prefix" if grant.prefixed else "literal"}
    operations = ["".join(word.title() for word in operation.split("_")) for operation in grant.operations]
    return {"resource": {"type": kind, **named}, "operations": operations}


def files() -> dict[str, str]:
    """By name: what stands in the chart's folder `files`."""
    made = {"topics.yaml": topics(), "users.yaml": users()}
    return {name: HEAD + yaml.safe_dump(held, sort_keys=False, width=118) for name, held in made.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (CHART / "files" / name).write_text(text)
