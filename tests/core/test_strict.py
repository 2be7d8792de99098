"""From a mapping to a struct with every problem at once, and on which line each entry stands."""

import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, field

from processors import strict
from processors.money import Rate
from processors.strict import BAD, Contradiction, Problem, place, read
from processors.toml_lines import line_of, lines


class Inner(Struct, frozen=True):
    low: Annotated[int, Meta(ge=0, le=10, description="a whole number of days")] = 1
    high: int = 5

    def contradictions(self) -> Iterator[Contradiction]:
        if self.low > self.high:
            yield ("low",), f"is {self.low}: must not be above high, {self.high}"


class Outer(Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=5, description="a short text")]
    rate: Annotated[Rate, Meta(gt=0, le=1, description="a share")] = Rate(1, 2)
    weight: float = 0.0
    on: bool = False
    level: Literal["LOW", "HIGH"] = "LOW"
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    by_name: Mapping[str, Annotated[int, Meta(ge=0)]] = field(default_factory=dict)
    pair: Annotated[tuple[str, ...], Meta(min_length=2, max_length=2, description="a list of two texts")] | None = None


def problems_of(table: dict[str, Any]) -> list[str]:
    problems: list[Problem] = []
    read(Outer, table, (), problems)
    return [f"{place(path)} {text}".strip() for path, text in problems]


def test_what_is_left_out_keeps_its_default_also_within_a_table_given_in_part() -> None:
    problems: list[Problem] = []
    made = read(Outer, {"name": "a", "inner": {"high": 9}, "many": [{}]}, (), problems)
    assert problems == []
    assert made == Outer(name="a", inner=Inner(low=1, high=9), many=(Inner(),))


def test_numbers_are_exact() -> None:
    made = read(Outer, {"name": "a", "rate": Decimal("0.30"), "weight": 3}, (), [])
    assert (made.rate, made.weight) == (Rate(3, 10), 3.0)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": ""}, 'name is "": must be a short text'),
        ({"name": 3}, "name is 3: must be a short text"),
        ({"rate": Decimal(0)}, "rate is 0: must be a share, above 0 to 1"),
        ({"rate": Decimal("1.01")}, "rate is 1.01: must be a share, above 0 to 1"),
        ({"rate": Decimal("inf")}, "rate is Infinity: must be a share, above 0 to 1"),
        ({"rate": Decimal("nan")}, "rate is NaN: must be a share, above 0 to 1"),
        ({"rate": Decimal("1e-99999")}, "rate is 1E-99999: must be a share, above 0 to 1"),
        ({"rate": True}, "rate is true: must be a share, above 0 to 1"),
        ({"weight": "1"}, 'weight is "1": must be a number'),
        ({"weight": 10**400}, "weight is 1" + "0" * 58 + "…: must be a number"),
        ({"on": 1}, "on is 1: must be true or false"),
        ({"level": "HIHG"}, 'level is "HIHG": must be one of LOW, HIGH; did you mean HIGH?'),
        ({"level": ["LOW"]}, "level is a list: must be one of LOW, HIGH"),
        ({"inner": 3}, "inner is 3: must be a table"),
        ({"inner": {"low": True}}, "inner.low is true: must be a whole number of days, 0 to 10"),
        ({"inner": {"low": Decimal(1)}}, "inner.low is 1: must be a whole number of days, 0 to 10"),
        ({"inner": {"lo": 1}}, "inner.lo is no entry of this table; did you mean low?"),
        ({"inner": {"low": 7}}, "inner.low is 7: must not be above high, 5"),
        ({"many": {}}, "many is a table: must be a list"),
        ({"many": [{}, {"low": -1}]}, "many[1].low is -1: must be a whole number of days, 0 to 10"),
        ({"by_name": {"two words": -1}}, 'by_name."two words" is -1: must be a whole number >= 0'),
        ({"by_name": []}, "by_name is a list: must be a table"),
        ({"pair": ["a"]}, "pair is a list: must be a list of two texts"),
        ({"pair": ["a", 2]}, "pair[1] is 2: must be a text"),
    ],
)
def test_a_wrong_entry_is_named_with_its_value_and_what_it_must_be(entry: dict[str, Any], told: str) -> None:
    assert problems_of({"name": "a", **entry}) == [told]


def test_an_unknown_name_without_a_likely_one_is_told_what_there_is() -> None:
    assert problems_of({"name": "a", "inner": {"zzz": 1}}) == [
        "inner.zzz is no entry of this table; there are high, low"
    ]


def test_every_problem_is_told_at_once_and_a_required_entry_is_missed() -> None:
    told = problems_of({"rate": 2, "on": "yes", "inner": {"low": 11, "hihg": 2}, "what": 1})
    assert {text.split(" ")[0] for text in told} == {"what", "name", "rate", "on", "inner.hihg", "inner.low"}
    assert len(told) == 6


def test_a_contradiction_is_not_told_on_top_of_a_wrong_entry() -> None:
    assert problems_of({"name": "a", "inner": {"low": 7, "high": "x"}}) == ['inner.high is "x": must be a whole number']


def test_what_cannot_be_made_is_bad() -> None:
    problems: list[Problem] = []
    assert read(Outer, {}, (), problems) is BAD
    assert read(Outer, [], ("x",), problems) is BAD
    assert [place(path) for path, _ in problems] == ["name", "x"]


NASTY = '''\
# a comment with [brackets] and = signs
top = "a # no comment" # one
"quoted key".'and other' = 1
"esc\\"aped \\u0041" = 2

[a.b] # = [c]
x = [1, 2, # in between ]
     [ "]", '}' ], { y = 1, "z z".w = [ { deep = true } ] }]
text = """
[not.a.table]
key = "no" \\""" still ""inside"""""
literal = \'\'\'
x = ''two quotes'' \'\'\'\'\'
when = 2024-01-01T00:00:00Z
empty = []
none = {}

[[list]]
one = 1
[list.sub]
two = 2
[[list.inner]]
three = 3
[[list.inner]]
[[list]]
  one = 4
    [[  list  . "inner" ]]
    three = 5
'''


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*path, key)
        yield from paths(inner, (*path, key))


@pytest.mark.parametrize("text", [NASTY, NASTY.replace("\n", "\r\n"), *(
    file.read_text() for file in sorted(Path("infra").glob("policy*.toml")))], ids=lambda text: text[:20])  # fmt: skip
def test_every_entry_of_a_document_has_its_line(text: str) -> None:
    found = lines(text)
    rows = text.replace("\r\n", "\n").split("\n")
    document = tomllib.loads(text)
    for path in paths(document):
        assert path in found or any(known[: len(path)] == path for known in found), path  # [a.b] makes a too
        name = path[-1]
        if isinstance(name, str) and path in found and "esc" not in name:
            assert name in rows[found[path] - 1], (path, found[path])


def test_lines_are_those_a_person_counts() -> None:
    found = lines(NASTY)
    at = {place(path): line for path, line in found.items()}
    assert at["top"] == 2
    assert at['"quoted key"."and other"'] == 3
    assert ('esc"aped A',) in found
    assert (at["a.b"], at["a.b.x"], at["a.b.x[1]"], at["a.b.x[2]"], at["a.b.x[2][1]"]) == (6, 7, 7, 8, 8)
    assert at['a.b.x[3]."z z".w[0].deep'] == 8
    assert (at["a.b.text"], at["a.b.literal"], at["a.b.when"]) == (9, 12, 14)
    assert (at["list[0]"], at["list[0].sub.two"], at["list[0].inner[0].three"], at["list[0].inner[1]"]) == (
        18,
        21,
        23,
        24,
    )
    assert (at["list[1]"], at["list[1].one"], at["list[1].inner[0].three"]) == (25, 26, 28)


def test_what_is_missing_stands_at_the_table_that_lacks_it() -> None:
    found = lines(NASTY)
    assert line_of(("list", 1, "two", "more"), found) == 25
    assert line_of(("nowhere",), found) == 1


scalars = st.integers() | st.booleans() | st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=5)


@given(st.dictionaries(st.sampled_from([*Outer.__struct_fields__, "other"]), st.recursive(
    scalars | st.decimals(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["low", "high", "x y"]), inner, max_size=3), max_leaves=6)))  # fmt: skip
def test_no_table_whatever_makes_the_reader_fail(table: dict[str, Any]) -> None:
    problems: list[Problem] = []
    made = read(Outer, table, (), problems)
    assert (made is BAD) <= bool(problems)
    assert all(text for _, text in problems)
    assert strict.shown(table) == "a table"
