"""The generated writer writes what fastavro's does, for any record of any schema."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import framing, library, topics
from schemas.writer import writer

WITH_SCHEMA = [topic.name for topic in topics.TOPICS.values() if topic.schema is not None]
_PLAIN = {
    "string": st.text(max_size=200),
    "bytes": st.binary(max_size=200),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
}


def of(schema: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any value that `schema` allows; `named`: types met before, by name."""
    if isinstance(schema, list):
        return st.none() | of(schema[1], named)
    if isinstance(schema, str):
        schema = named.get(schema, {"type": schema})
    elif "name" in schema:
        named[schema["name"]] = schema
    kind = schema["type"]
    if kind == "record":
        return st.fixed_dictionaries({field["name"]: of(field["type"], named) for field in schema["fields"]})
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    if kind == "array":
        return st.lists(of(schema["items"], named), max_size=4)
    if kind == "map":
        return st.dictionaries(st.text(max_size=5), of(schema["values"], named), max_size=4)
    return _PLAIN[kind]


@pytest.mark.parametrize("topic", WITH_SCHEMA)
@given(data=st.data())
@settings(max_examples=40)
def test_it_writes_the_bytes_that_fastavro_writes(topic: str, data: st.DataObject) -> None:
    record = data.draw(of(library.newest(topic), {}))
    with BytesIO() as out:
        schemaless_writer(out, library.newest(topic), record)
        assert writer(topic)(record) == framing.header(topic) + out.getvalue()


def test_a_missing_field_and_an_unknown_symbol_are_our_fault_and_told() -> None:
    tick = {"at": 1, "value_at_share": {}, "policy": "", "served": []}
    assert writer(topics.TICKS)(tick)
    with pytest.raises(KeyError, match="policy"):
        writer(topics.TICKS)({"at": 1, "value_at_share": {}})
    with pytest.raises(TypeError):
        writer(topics.TICKS)(tick | {"at": 4.5})
