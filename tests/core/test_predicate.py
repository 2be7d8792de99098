"""The condition language: what it means, and what is wrong with one that means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.predicate import holds, problem

NUMBERS, WORDS = ("value", "share"), ("tier",)
SEEN = {"value": 50, "share": 0.25, "tier": "gold"}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("value >= 50", True), ("value > 50", False), ("value == 50 and share < 0.3", True), ("value != 50", False),
        ("tier in ['gold', 'platinum']", True), ("tier == 'silver'", False), ("share <= -1", False),
        ("value in [1, 50]", True), ("absent > 0", False), ("value >= 5_0 and absent == 1", False),
    ],
)  # fmt: skip
def test_V6_a_condition_holds_where_all_its_comparisons_do(text: str, held: bool) -> None:
    assert holds(text, SEEN.get) is held


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("value >", "is no condition"), ("value", "no comparison"), ("value > 1 or share > 1", "no comparison"),
        ("value is 3", "there are >="), ("1 < value < 3", "no comparison"), ("value > share", "must be a value"),
        ("value in 3", "goes with a list"), ("value == [3]", "goes with a list"), ("value in [1, 'x']", "in quotes"),
        ("valeu > 3", "no field"), ("value == 'x'", "it is a number"), ("tier > 'a'", "by size"),
        ("tier == 3", "it is a text"), ("__import__('os').system('x') == 1", "no comparison"),
        ("value > None", "quotes"),
    ],
)  # fmt: skip
def test_V6_what_is_wrong_is_said(text: str, wrong: str) -> None:
    found = problem(text, NUMBERS, WORDS)
    assert found is not None
    assert wrong in found


@given(st.integers(-100, 100), st.integers(-100, 100), st.sampled_from((">=", "<=", ">", "<", "==", "!=")))
def test_V6_comparisons_are_those_of_numbers(held: int, needed: int, how: str) -> None:
    text = f"value {how} {needed}"
    assert problem(text, NUMBERS, WORDS) is None
    assert holds(text, {"value": held}.get) == eval(f"{held} {how} {needed}")
