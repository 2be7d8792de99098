"""The condition language of [[care]] `when`: comparisons of the view's fields, joined by `and`.

    contribution_365d >= 5_000 and tier in ["gold", "platinum"] and p_alive < 0.5

It has the syntax of Python's comparisons, read as a tree and never run. A field that is absent meets no condition.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Final, NamedTuple

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


def holds(text: str, read: Callable[[str], Any]) -> bool:
    """Whether all comparisons hold; read: the value of a field, None where it is absent."""
    return all((held := read(field)) is not None and test(held, value) for field, test, value in parsed(text))
