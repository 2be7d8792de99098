"""The condition language of [[segments]] and [[care]] `when`: comparisons of the view's fields, joined by `and`.

    contribution_365d >= 5_000 and tier in ["gold", "platinum"] and p_alive < 0.5

It has the syntax of Python's comparisons, read as a tree and never run. A field that is absent meets no condition. One
of several values (`segment`) meets it with any of them; `!=` says that none is the value.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Final, NamedTuple

from processors.fields import MORE_NUMBERS, NUMBERS, SEGMENT_NUMBERS, SEGMENT_WORDS, SHARE_RANKS

_TESTS: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, among: value in among,
}


class Clause(NamedTuple):
    """One comparison: a field, how it is compared, and with what."""

    field: str
    test: Callable[[Any, Any], bool]
    value: Any


@lru_cache(maxsize=512)
def parsed(text: str) -> tuple[Clause, ...]:
    """The comparisons of a condition, all of which must hold. ValueError says what is wrong with it."""
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        raise ValueError(f"is no condition: {_SHAPE}") from None
    clauses = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    return tuple(map(_clause, clauses))


_SHAPE: Final = 'write comparisons joined by `and`, as in value_365d >= 5_000 and tier in ["gold", "platinum"]'


def _clause(node: ast.expr) -> Clause:
    if not (isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and len(node.ops) == 1):
        raise ValueError(f"has {ast.unparse(node)!r}, which is no comparison of a field: {_SHAPE}")
    test = _TESTS.get(type(node.ops[0]))
    if test is None:
        raise ValueError(f"compares {ast.unparse(node)!r}: there are >=, <=, >, <, ==, != and in")
    try:
        value = ast.literal_eval(node.comparators[0])
    except ValueError:
        raise ValueError(
            f"compares {node.left.id} with {ast.unparse(node.comparators[0])!r}: must be a value"
        ) from None
    listed = isinstance(value, list | tuple)
    if listed != isinstance(node.ops[0], ast.In):
        raise ValueError(f"has {ast.unparse(node)!r}: `in` goes with a list, all else with one value")
    kinds = {isinstance(one, str) for one in (value if listed else [value])}
    if len(kinds) != 1 or not all(isinstance(one, str | int | float) for one in (value if listed else [value])):
        raise ValueError(f"has {ast.unparse(node)!r}: values are numbers, or texts in quotes")
    return Clause(node.left.id, test, value)


def problem(text: str, numbers: Collection[str], words: Collection[str]) -> str | None:
    """What is wrong with a condition over these fields, those of numbers and those of text; None: nothing."""
    try:
        clauses = parsed(text)
    except ValueError as error:
        return str(error)
    for field, test, value in clauses:
        worded = isinstance(value[0] if isinstance(value, list | tuple) else value, str)
        if field not in (words if worded else numbers):
            if field in numbers or field in words:
                return f"compares {field} with {value!r}: it is a {'number' if field in numbers else 'text'}"
            return f"names {field!r}, which is no field of the view that holds one number or text"
        if worded and test in (operator.ge, operator.le, operator.gt, operator.lt):
            return f"compares the text {field} by size: use == or in"
    return None


def segment_problem(text: str) -> str | None:
    """What is wrong with the condition of a segment (V6); None: nothing. What drifts from day to day is refused, for
    nobody would be reviewed when it crosses a threshold; a rank goes with `<=` and a share alone."""
    try:
        clauses = parsed(text)
    except ValueError as error:
        return str(error)
    for field, test, value in clauses:
        if field in SHARE_RANKS and not (test is operator.le and type(value) in (int, float) and 1e-9 <= value <= 1):
            return (
                f"compares {field} with {value!r}: a rank goes with <= and a share above 0 to 1, as in {field} <= 0.2"
            )
        if field not in SEGMENT_NUMBERS and field in NUMBERS:
            return f"names {field}, which drifts from day to day: a segment asks for what holds until the next review"
    return problem(text, (*SEGMENT_NUMBERS, *MORE_NUMBERS, *SHARE_RANKS), SEGMENT_WORDS)


def met(clause: Clause, held: Any) -> bool:
    """Whether one comparison holds of a value that is there; of several, a tuple, see above."""
    if isinstance(held, tuple):
        return (all if clause.test is operator.ne else any)(clause.test(one, clause.value) for one in held)
    return bool(clause.test(held, clause.value))


def holds(text: str, read: Callable[[str], Any]) -> bool:
    """Whether all comparisons hold; read: the value of a field, None where it is absent."""
    return all((held := read(clause.field)) is not None and met(clause, held) for clause in parsed(text))
