"""Avro written by a function generated from the schema, for what workers write by the thousand: outputs and relays.

One expression joins the pieces of a record; a generic writer walks the schema for each of them and takes eight times as
long. Nothing is checked: the records are our own, typed by their structs. `tests/wire/` compares with fastavro's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from struct import pack
from typing import Any, Final

from schemas import framing, library
from schemas.primitives import number

Writer = Callable[[Mapping[str, Any]], bytes]
"""A record's fields, all of them, by name to the record framed. KeyError: a field or symbol is missing or unknown."""

_NULL, _FALSE, _TRUE, _END = b"\0", b"\0", b"\1", b"\0"


def _bytes(value: bytes) -> bytes:
    return number(len(value)) + value


def _string(value: str) -> bytes:
    raw = value.encode()
    return number(len(raw)) + raw


def _double(value: float) -> bytes:
    return pack("<d", value)


def _boolean(value: bool) -> bytes:
    return _TRUE if value else _FALSE


_PLAIN: Final = {
    "string": _string,
    "bytes": _bytes,
    "double": _double,
    "boolean": _boolean,
    "long": number,
    "int": number,
}


@cache
def writer(topic: str) -> Writer:
    """What writes a record of `topic` under its newest schema."""
    source = _Source()
    record = source.value(library.newest(topic), "r")
    made: Writer = eval(f"lambda r: {source.constant(framing.header(topic))} + {record}", source.scope)
    return made


class _Source:
    """Expressions, and in `scope` the constants and functions that they use."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}  # types that the schema names where it first uses them
        self.scope: dict[str, Any] = {"number": number, "string": _string, "NULL": _NULL, "END": _END}

    def constant(self, value: object) -> str:
        """A fresh name for `value`."""
        name = f"c{len(self.scope)}"
        self.scope[name] = value
        return name

    def value(self, schema: Any, var: str) -> str:
        """An expression for the bytes of `var`."""
        if isinstance(schema, list):
            null, other = schema
            assert null == "null", "an optional field names null first"
            return f"(NULL if {var} is None else {self.constant(number(1))} + {self.value(other, var)})"
        if isinstance(schema, str):
            schema = self._named.get(schema, {"type": schema})
        elif "name" in schema:
            self._named[schema["name"]] = schema
        kind = schema["type"]
        if kind == "record":
            values = [self.value(field["type"], f"{var}[{field['name']!r}]") for field in schema["fields"]]
            return f"b''.join(({', '.join(values)},))"
        if kind == "enum":
            return f"{self.constant({name: number(place) for place, name in enumerate(schema['symbols'])})}[{var}]"
        if kind == "array":
            item = self.constant(None)
            return self._block(f"{self.value(schema['items'], item)} for {item} in {var}", var)
        if kind == "map":
            key, item = self.constant(None), self.constant(None)
            return self._block(
                f"string({key}) + {self.value(schema['values'], item)} for {key}, {item} in {var}.items()", var
            )
        return f"{self.constant(_PLAIN[kind])}({var})"

    @staticmethod
    def _block(each: str, var: str) -> str:
        return f"(number(len({var})) + b''.join([{each}]) + END if {var} else END)"
