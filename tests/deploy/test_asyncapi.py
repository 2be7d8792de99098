"""docs/asyncapi.yaml is what schemas/ and the topic table say, and AsyncAPI 3 by its own schema."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from schemas import library
from schemas.topics import CHURN_RISK, CUSTOMERS, DEAD_LETTERS, TICKS, TOPICS
from sinks.dead_letters import dead_letter
from tests import asyncapi
from tests.core.test_outgoing import RISK, published

Node = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Node:
    loaded: Node = yaml.safe_load(asyncapi.PAGE.read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def validator(npm_checks: Path) -> jsonschema.Draft7Validator:
    path = npm_checks / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    return jsonschema.Draft7Validator(json.loads(path.read_text("utf-8")))


def resolved(document: Node, reference: str) -> Any:
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


def test_the_document_is_current() -> None:
    current = asyncapi.PAGE.read_text("utf-8") == asyncapi.page()
    assert current, "docs/asyncapi.yaml is behind schemas/: python -m tests.asyncapi > docs/asyncapi.yaml"


def test_it_is_asyncapi_3(document: Node, validator: jsonschema.Draft7Validator) -> None:
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: d["channels"][TICKS]["bindings"]["kafka"].update(partitions="twelve"),
        lambda d: d["operations"][f"receive-{TICKS}"].update(action="publish"),
        lambda d: d["components"]["messages"]["Tick"]["payload"]["schema"].update(type="no such type"),
        lambda d: d.pop("info"),
    ],
)
def test_the_schema_would_notice(document: Node, validator: jsonschema.Draft7Validator, harm: Any) -> None:
    harmed = copy.deepcopy(document)
    harm(harmed)
    assert next(validator.iter_errors(harmed), None) is not None


def test_every_reference_leads_somewhere(document: Node) -> None:
    found = references(document)
    assert len(found) > len(TOPICS)
    assert all(resolved(document, reference) for reference in found)


def test_every_topic_is_a_channel_with_its_schema_and_settings(document: Node) -> None:
    assert list(document["channels"]) == list(TOPICS)
    for topic in TOPICS.values():
        channel = document["channels"][topic.name]
        settings = channel["bindings"]["kafka"]["topicConfiguration"]
        assert {name: str(value).strip("[']") for name, value in settings.items()} == topic.config()
        first = resolved(document, next(iter(channel["messages"].values()))["$ref"])
        if topic.schema is not None:
            assert first["payload"]["schema"] == library.source(topic.name)
        null = [name for name in channel["messages"] if name.endswith("Erased")]
        assert bool(null) == (topic.name in asyncapi.ERASED)
        assert ("key" in first["bindings"]["kafka"]) == (topic.key != "none")


def test_the_headers_are_those_that_are_sent(document: Node) -> None:
    (record,) = published(RISK)
    assert set(document["components"]["messages"]["ChurnRisk"]["headers"]["required"]) == set(dict(record.headers))
    assert record.topic == CHURN_RISK
    letter = dead_letter(CUSTOMERS, 0, 7, b"anna", b"?", (), "BrokenAvro", "it ends early", 1)
    assert set(document["components"]["messages"]["DeadLetter"]["headers"]["required"]) == set(dict(letter.headers))
    assert letter.topic == DEAD_LETTERS
