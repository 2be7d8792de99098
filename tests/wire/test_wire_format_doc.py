"""What the pages tell senders is true: fingerprints, errors, and examples that run without the project's code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kafka
import pytest

from processors.events import Purchase
from schemas import errors, library, topics
from schemas.codec import decode
from schemas.errors import BadRecord

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/use/wire-format.md").read_text(encoding="utf-8")
EXAMPLES = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("docs/use/wire-format.md", "README.md")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S))
    if "KafkaProducer" in block
]


class Sent:
    """A producer that keeps what it is given."""

    records: list[tuple[str, bytes, bytes]]

    def __init__(self, **_: Any) -> None:
        type(self).records = []

    def send(self, topic: str, *, key: bytes, value: bytes) -> Sent:
        self.records.append((topic, key, value))
        return self

    def get(self, _: float) -> None:
        pass

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_sends_a_sale_that_is_taken(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(kafka, "KafkaProducer", Sent)
    exec(compile(example, "example", "exec"), {})
    ((topic, key, value),) = Sent.records
    event = decode(topic, value, key)
    assert isinstance(event, Purchase)
    assert (topic, key.decode(), event.kind, len(event.lines)) == (topics.PURCHASES, event.customer_id, "SALE", 1)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_needs_none_of_the_projects_code(example: str) -> None:
    imported = set(re.findall(r"^(?:from|import) ([\w, ]+)", example, re.M))
    names = {name.strip().partition(" ")[0] for line in imported for name in line.split(",")}
    assert not names & {"schemas", "processors", "sinks", "streams", "infra"}


def test_there_is_an_example_on_the_page() -> None:
    assert any("wire-format" in str(example.id) for example in EXAMPLES)


@pytest.mark.parametrize("topic", [topics.PURCHASES, topics.COMPLAINTS, topics.CONTACTS, topics.CUSTOMERS])
def test_the_fingerprints_on_the_page_are_those_of_the_schemas(topic: str) -> None:
    assert f"| `schemas/{topic}.avsc` | `{library.newest_fingerprint(topic).hex(' ')}` |" in PAGE


def test_every_class_of_error_is_on_the_page() -> None:
    classes = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, BadRecord) and kind is not BadRecord
    }
    assert classes <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
