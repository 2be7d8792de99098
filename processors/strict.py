"""From a plain mapping (as TOML gives it) to a frozen struct: every problem with its path, all at once.

What a field may be is said once, in the struct: its type and a `msgspec.Meta` with range, pattern and a `description`
that ends the sentence "must be …". A struct may read itself from its table (`read_table`), and may know what of it
contradicts itself (`contradictions`), which is asked only where each entry alone was fine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from processors.money import Rate
from processors.toml_lines import Path

T = TypeVar("T", bound=msgspec.Struct)
Contradiction = tuple[Path, str]
BAD: Any = object()  # stands for a value that a problem tells about

_DECIMAL_DIGITS_MAX = 30  # a rate is a fraction of big integers: 1e999999999 must not become one
_SHOWN_MAX = 60


class Problem(NamedTuple):
    """`path`: where in the document. `text`: what is wrong and the way out, without the place."""

    path: Path
    text: str


def read(struct: type[T], table: object, path: Path, problems: list[Problem]) -> T:
    """`table` as a `struct`; BAD where it can't be made, with `problems` saying why."""
    if not isinstance(table, Mapping):
        _bad(problems, path, f"is {shown(table)}: must be a table")
        return cast(T, BAD)
    reads_itself: Callable[[Mapping[str, object], Path, list[Problem]], T] | None = getattr(struct, "read_table", None)
    if reads_itself is not None:
        return reads_itself(table, path, problems)
    before = len(problems)
    values = entries(struct, table, path, problems)
    return finish(struct, values, path, problems, clean=len(problems) == before)


def entries(
    struct: type[msgspec.Struct],
    table: Mapping[str, object],
    path: Path,
    problems: list[Problem],
    conditions: Sequence[str] = (),
) -> dict[str, Any]:
    """The good entries of `table`, by field. `conditions`: names that its reader reads itself."""
    kinds = _kinds(struct)
    for name in table:
        if name not in kinds and name not in conditions:
            noun = "condition" if conditions else "entry of this table" if path else "table of a policy"
            problems.append(Problem((*path, name), unknown(name, [*conditions, *kinds], noun)))
    for field in msgspec.structs.fields(struct):
        if field.required and field.name in kinds and field.name not in table:
            problems.append(Problem((*path, field.name), "is missing: must be " + demand(kinds[field.name])))
    made = {name: value(kind, table[name], (*path, name), problems) for name, kind in kinds.items() if name in table}
    return {name: one for name, one in made.items() if one is not BAD}


def finish(struct: type[T], values: Mapping[str, Any], path: Path, problems: list[Problem], *, clean: bool) -> T:
    """The struct with `values`, other fields at their defaults; BAD if a required one is not there."""
    if any(field.required and field.name not in values for field in msgspec.structs.fields(struct)):
        return cast(T, BAD)
    made = struct(**values)
    check: Callable[[], Iterator[Contradiction]] | None = getattr(made, "contradictions", None)
    if clean and check is not None:
        problems.extend(Problem((*path, *where), text) for where, text in check())
    return made


def value(kind: Any, raw: object, path: Path, problems: list[Problem]) -> Any:
    """`raw` as the annotated type `kind`, or BAD."""
    base, meta = _parts(kind)
    origin = get_origin(base)
    if isinstance(base, type) and issubclass(base, msgspec.Struct) and base is not Rate:
        return read(base, raw, path, problems)
    if origin is tuple:
        return _many(kind, raw, path, problems)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return _by_name(base, raw, path, problems)
    if origin is Literal:
        choices = get_args(base)
        if raw in choices and isinstance(raw, str):
            return raw
        near = _near(raw, choices) if isinstance(raw, str) else ""
        return _bad(problems, path, f"is {shown(raw)}: must be {demand(kind)}{near}")
    made = _scalar(base, raw)
    if made is BAD or not _within(made, meta):
        return _bad(problems, path, f"is {shown(raw)}: must be {demand(kind)}")
    return made


def unknown(name: str, known: Sequence[str], noun: str) -> str:
    """Says that `name` is not one of `known`, and which one may be meant."""
    return f"is no {noun}{_near(name, known) or '; there are ' + ', '.join(sorted(known))}"


def demand(kind: Any) -> str:
    """What a value of the annotated type must be, in words."""
    base, meta = _parts(kind)
    if get_origin(base) is Literal:
        return "one of " + ", ".join(get_args(base))
    if get_origin(base) is tuple:
        return (meta and meta.description) or "a list"
    words: dict[Any, str] = {
        int: "a whole number",
        bool: "true or false",
        str: "a text",
        float: "a number",
        Rate: "a number",
    }
    named: str = (meta and meta.description) or words.get(base, "a table")
    if meta is None:
        return named
    low, high = meta.ge if meta.ge is not None else meta.gt, meta.le
    if low is not None and high is not None:
        return f"{named}, {'above ' if meta.ge is None else ''}{low} to {high}"
    if low is not None:
        return f"{named} {'>=' if meta.ge is not None else '>'} {low}"
    return named


def shown(raw: object) -> str:
    """A value as the file has it, shortened."""
    text = str(raw).lower() if isinstance(raw, bool) else f'"{raw}"' if isinstance(raw, str) else str(raw)
    text = "a list" if isinstance(raw, list) else "a table" if isinstance(raw, dict) else text
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


def place(path: Path) -> str:
    """A path as people write it: tiers[2].name, margin.rates."FRESH FOOD"."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            out += ("." if out else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"')
    return out


@cache
def _kinds(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Field -> annotated type."""
    hints = get_type_hints(struct, include_extras=True)
    return {field.name: hints[field.name] for field in msgspec.structs.fields(struct)}


def _parts(kind: Any) -> tuple[Any, msgspec.Meta | None]:
    """(type without None, its Meta)."""
    meta = None
    while True:
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            meta = meta or next((note for note in notes if isinstance(note, msgspec.Meta)), None)
        elif get_origin(kind) in (Union, UnionType):
            kind = next(one for one in get_args(kind) if one is not NoneType)
        else:
            return kind, meta


def _scalar(base: Any, raw: object) -> Any:
    if base is bool or base is str:
        return raw if type(raw) is base else BAD
    if base is int:
        return raw if type(raw) is int else BAD
    if type(raw) is int and -(10**18) < raw < 10**18:
        return float(raw) if base is float else Rate.of(raw)
    if (
        not isinstance(raw, Decimal)
        or not raw.is_finite()
        or abs(raw.adjusted()) > _DECIMAL_DIGITS_MAX
        or len(raw.as_tuple().digits) > _DECIMAL_DIGITS_MAX
    ):
        return BAD
    return float(raw) if base is float else Rate.of(raw)


def _within(made: Any, meta: msgspec.Meta | None) -> bool:
    if meta is None:
        return True
    size = made.fraction if isinstance(made, Rate) else made
    bounds = (
        (meta.ge, lambda least: size >= least),
        (meta.gt, lambda least: size > least),
        (meta.le, lambda most: size <= most),
        (meta.pattern, lambda form: re.search(form, made) is not None),
        (meta.min_length, lambda least: len(made) >= least),
        (meta.max_length, lambda most: len(made) <= most),
    )
    return all(holds(bound) for bound, holds in bounds if bound is not None)


def _many(kind: Any, raw: object, path: Path, problems: list[Problem]) -> Any:
    base, meta = _parts(kind)
    if not isinstance(raw, list) or not _within(raw, meta):
        return _bad(problems, path, f"is {shown(raw)}: must be {demand(kind)}")
    made = [value(get_args(base)[0], one, (*path, index), problems) for index, one in enumerate(raw)]
    return BAD if any(one is BAD for one in made) else tuple(made)


def _by_name(base: Any, raw: object, path: Path, problems: list[Problem]) -> Any:
    if not isinstance(raw, Mapping):
        return _bad(problems, path, f"is {shown(raw)}: must be a table")
    made = {name: value(get_args(base)[1], one, (*path, name), problems) for name, one in raw.items()}
    return BAD if any(one is BAD for one in made.values()) else made


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _bad(problems: list[Problem], path: Path, text: str) -> Any:
    problems.append(Problem(path, text))
    return BAD
