"""Values of a row, from JSON or from the text of a CSV cell, to what Avro takes: by the topic's schema, strictly.

No half-understood value gets in: a number is no text, 12.5 is no amount, a time without an offset is no instant.
The contract's rules (ranges, lengths) are not checked here: `schemas/codec.py` does where bytes become events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Any

from schemas import library, topics
from schemas.errors import BadField

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_WHOLE = re.compile(r"[+-]?\d{1,25}", re.ASCII)
_DATE_DIGITS = re.compile(r"(19|20)\d{6}", re.ASCII)
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_SHOWN = 60

Convert = Callable[[Any, str], Any]


@cache
def field_types(topic: str) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in library.source(topic)["fields"]}


@cache
def line_types() -> dict[str, Any]:
    lines = field_types(topics.PURCHASES)["lines"]
    return {field["name"]: field["type"] for field in lines["items"]["fields"]}


@cache
def record_of(topic: str, text: bool) -> Convert:
    name = library.source(topic)["name"]
    return cells_of(field_types(topic), name) if text else _value(library.source(topic))


def cells_of(types: dict[str, Any], name: str) -> Convert:
    """Cells by column to fields."""
    return _object({field: _cell(kind) for field, kind in types.items() if field != "lines"}, name)


def _object(converts: dict[str, Convert], name: str) -> Convert:
    def convert(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _no(path.removesuffix(".") or "the row", value, f"a {name} with its fields, as {{…}}")
        out = {}
        for field, item in value.items():
            known = converts.get(field)
            if known is None:
                near = get_close_matches(field, converts, 1)
                raise BadField(path + field, f"is no field of {name}" + (f"; did you mean {near[0]}?" if near else ""))
            out[field] = known(item, path + field)
        return out

    return convert


def _value(kind: Any) -> Convert:
    """From a JSON value."""
    if isinstance(kind, list):
        return _optional(_value(next(branch for branch in kind if branch != "null")))
    if isinstance(kind, dict):
        if kind.get("logicalType") == "timestamp-millis":
            return _instant
        match kind["type"]:
            case "record":
                made = {field["name"]: _value(field["type"]) for field in kind["fields"]}
                inner = _object(made, kind["name"])
                top = kind.get("namespace") is not None
                return inner if top else (lambda value, path: inner(value, path + "."))
            case "array":
                return _array(_value(kind["items"]))
            case "map":
                return _map(_value(kind["values"]))
            case "enum":
                return _symbol(kind)
            case other:
                return _value(other)
    return {"string": _text, "int": _int, "long": _int, "boolean": _bool, "double": _number}[kind]


def _cell(kind: Any) -> Convert:
    """From the text of a CSV cell that is not empty."""
    if isinstance(kind, list):
        return _cell(next(branch for branch in kind if branch != "null"))
    if isinstance(kind, dict):
        if kind.get("logicalType") == "timestamp-millis":
            return cell_instant
        match kind["type"]:
            case "array" if isinstance(kind["items"], dict):
                return _cell_pairs(kind["items"])
            case "array":
                return lambda value, path: [_text(item.strip(), path) for item in value.split(";") if item.strip()]
            case "map":
                return _cell_map(_cell(kind["values"]))
            case "enum":
                return _symbol(kind)
            case other:
                return _cell(other)
    return {"string": _text, "int": _cell_int, "long": _cell_int, "boolean": _cell_bool}[kind]


def show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."


def _no(path: str, value: object, must: str) -> BadField:
    return BadField(path, f"is {show(value)}: must be {must}")


def _text(value: Any, path: str) -> str:
    if type(value) is not str:
        raise _no(path, value, "text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadField(path, f"is {show(value)}: is not UTF-8; save the file as UTF-8") from None
    return value


def _int(value: Any, path: str) -> int:
    if type(value) is not int:
        raise _no(path, value, "a whole number; amounts are in minor units, 12.50 is 1250")
    return value


def _number(value: Any, path: str) -> float:
    if type(value) not in (int, float):
        raise _no(path, value, "a number")
    return float(value)


def _bool(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise _no(path, value, "true or false")
    return value


def _instant(value: Any, path: str) -> int:
    if type(value) is int:
        return value
    if type(value) is not str:
        raise _no(path, value, "ISO 8601 with an offset, as 2017-01-31T12:00:00-05:00, or UTC ms")
    return instant(value, path)


def instant(text: str, path: str = "the time") -> int:
    """UTC ms of ISO 8601 with an offset; parts of a millisecond are dropped. Raises BadField.

    >>> instant("2017-03-12T03:00:00-04:00")
    1489302000000
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _no(path, text, "ISO 8601 with an offset, as 2017-01-31T12:00:00-05:00, or UTC ms") from None
    if found.tzinfo is None:
        raise BadField(path, f"is {text!r}: says no offset from UTC; append Z for UTC or the offset, as -05:00")
    return (found - _EPOCH) // _MILLISECOND


def _optional(inner: Convert) -> Convert:
    return lambda value, path: None if value is None else inner(value, path)


def _array(inner: Convert) -> Convert:
    def convert(value: Any, path: str) -> list[Any]:
        if type(value) is not list:
            raise _no(path, value, "a list")
        return [inner(item, f"{path}[{at}]") for at, item in enumerate(value)]

    return convert


def _map(inner: Convert) -> Convert:
    def convert(value: Any, path: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise _no(path, value, "an object")
        return {_text(key, path): inner(item, f"{path}.{key}") for key, item in value.items()}

    return convert


def _symbol(kind: dict[str, Any]) -> Convert:
    symbols = [symbol for symbol in kind["symbols"] if symbol != kind.get("default")]

    def convert(value: Any, path: str) -> str:
        if value not in symbols:
            raise _no(path, value, "one of " + "|".join(symbols))
        return str(value)

    return convert


def _cell_int(value: str, path: str) -> int:
    if not _WHOLE.fullmatch(value.strip()):
        raise _no(path, value, "a whole number; amounts are in minor units, 12.50 is 1250")
    return int(value)


def _cell_bool(value: str, path: str) -> bool:
    found = _TRUTH.get(value.strip().lower())
    if found is None:
        raise _no(path, value, "true or false")
    return found


def cell_instant(value: str, path: str = "the time") -> int:
    """UTC ms of a time as people type it: ISO 8601 with an offset, or UTC ms. Raises BadField."""
    value = value.strip()
    if not _WHOLE.fullmatch(value):
        return instant(value, path)
    if _DATE_DIGITS.fullmatch(value):  # it would be read as some hours after 1970
        raise BadField(path, f"is {value!r}: looks like a date; write ISO 8601 with time and offset, or UTC ms")
    return int(value)


def _cell_map(inner: Convert) -> Convert:
    def convert(value: str, path: str) -> dict[str, Any]:
        return {name: inner(item, f"{path}.{name}") for name, item in _pairs(value, path)}

    return convert


def _cell_pairs(kind: dict[str, Any]) -> Convert:
    first, second = (field["name"] for field in kind["fields"])
    return lambda value, path: [{first: name, second: item} for name, item in _pairs(value, path)]


def _pairs(value: str, path: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (part.strip() for part in value.split(";"))):
        name, equals, item = part.partition("=")
        if not equals:
            raise _no(path, value, "name=value, several by `;`")
        yield _text(name.strip(), path), _text(item.strip(), path)
