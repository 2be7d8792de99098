"""The quick writer of views against the generic one: the same bytes, for any fields a hash may have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, library
from schemas.customer_value import BrokenView, encode_view
from schemas.topics import CUSTOMER_VALUE

LONGS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-200, 200), st.integers(0, 4_102_444_800_000))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=200),
    "long": LONGS,
    "double": st.floats(allow_nan=False),
}
FIELDS = {
    field["name"]: field["type"]
    for field in library.newest(CUSTOMER_VALUE)["fields"]
    if field["name"] not in ("event_id", "at")
}


def _values(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, list):
        return st.none() | _values(kind[1])
    return st.sampled_from(kind["symbols"]) if isinstance(kind, dict) else VALUES[kind]


def views() -> st.SearchStrategy[dict[str, Any]]:
    """Every field of the topic or, where it may be absent, None; in any order."""
    of_each = {name: _values(kind) for name, kind in FIELDS.items()} | {"as_of": st.integers(0, 4_102_444_799_999)}
    return st.fixed_dictionaries(of_each).flatmap(lambda view: st.permutations(list(view.items())).map(dict))


def as_hash(view: dict[str, Any]) -> list[bytes]:
    """What HGETALL gives."""
    return [part.encode() for name, value in view.items() if value is not None for part in (name, f"{value}")]


@given(views())
def test_the_quick_writer_writes_what_the_generic_one_does(view: dict[str, Any]) -> None:
    value, headers = encode_view(5, as_hash(view))
    found = codec.read(CUSTOMER_VALUE, value)
    event_id = found["event_id"]
    assert found == view | {"event_id": event_id, "at": view["as_of"]}
    assert value == codec.write(CUSTOMER_VALUE, found)
    told = dict(headers)
    assert told["ce_id"].decode() == event_id
    assert event_id.startswith(f"customer-value:{view['customer_id']}:{view['as_of']}:")
    assert told.get("tier") == (None if view["tier"] is None else view["tier"].encode())


@given(views(), views())
def test_another_content_has_another_id_and_the_same_content_the_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    b = b | {"customer_id": a["customer_id"], "as_of": a["as_of"]}
    same = encode_view(5, as_hash(a))[0] == encode_view(5, as_hash(b))[0]
    assert same == (a == b)
    assert encode_view(5, as_hash(dict(reversed(a.items()))))[0] == encode_view(5, as_hash(a))[0]


def test_fields_that_the_topic_does_not_know_are_left_out() -> None:
    least = {"customer_id": "a", "as_of": 1, "policy": "p"}
    assert encode_view(0, as_hash(least | {"of tomorrow": "x"})) == encode_view(0, as_hash(least))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ([], "lacks customer_id, policy, as_of: only a worker may write it"),
        ([b"as_of", b"5", b"policy", b"p@1"], "lacks customer_id"),
        ([b"customer_id", b"a", b"as_of", b"soon", b"policy", b"p@1"], "holds what its field can't be .*soon"),
        ([b"customer_id", b"a", b"as_of", b"5", b"policy", b"p@1", b"risk_level", b"FINE"], "FINE"),
    ],
)
def test_a_hash_that_somebody_else_changed_is_told_with_the_way_out(fields: list[bytes], told: str) -> None:
    with pytest.raises(BrokenView, match=told):
        encode_view(5, fields)
