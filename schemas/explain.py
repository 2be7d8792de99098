"""Where and why bytes do not follow a schema. Slow and plain: it is asked only once a reader has refused them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.library import Schema
from schemas.primitives import Broken, bytes_min, count, int32, length, long


def broken_at(schema: Schema, body: bytes) -> str | None:
    """The first place where `body` does not follow `schema`, with the reason; None where it does."""
    walk = _Walk(body)
    try:
        walk.value(schema, "")
    except Broken as error:
        return f"{walk.path or 'the record'} at byte {walk.start} of the Avro body: {error}"
    except UnicodeDecodeError:
        return f"{walk.path} at byte {walk.start} of the Avro body: not UTF-8"
    except RecursionError:
        return f"{walk.path} at byte {walk.start} of the Avro body: nested too deep"
    except IndexError:
        return f"{walk.path} at byte {walk.start} of the Avro body: the bytes end here; the record is cut short"
    if walk.at != len(body):
        return f"{len(body) - walk.at} bytes follow the end of the record"
    return None


def over(schema: Any, known: Mapping[str, Any], body: bytes, at: int) -> int:
    """The position behind the value of `schema` at `at`. known: named types. Raises Broken, IndexError."""
    walk = _Walk(body, at, dict(known))
    walk.value(schema, "")
    return walk.at


class _Walk:
    def __init__(self, body: bytes, at: int = 0, known: dict[str, Any] | None = None) -> None:
        self.body, self.at = body, at
        self.path, self.start = "", 0
        self.known: dict[str, Any] = known or {}

    def value(self, schema: Any, path: str) -> None:
        """Steps over one value of `schema`."""
        self.path, self.start = path, self.at
        if isinstance(schema, list):
            branch, self.at = long(self.body, self.at)
            if not 0 <= branch < len(schema):
                raise Broken(f"branch {branch} of a union of {len(schema)}")
            return self.value(schema[branch], path)
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, dict | list):
            return self.value(kind, path)
        if kind in self.known:
            return self.value(self.known[kind], path)
        if isinstance(schema, dict) and "name" in schema:
            self.known[schema["name"]] = schema
        getattr(self, f"_{kind}")(schema, path)
        return None

    def _null(self, *_: Any) -> None:
        pass

    def _raw(self) -> bytes:
        size, start = length(self.body, self.at)
        self.at = start + size
        return self.body[start : self.at]

    def _string(self, *_: Any) -> None:
        self._raw().decode()

    def _bytes(self, *_: Any) -> None:
        self._raw()

    def _long(self, *_: Any) -> None:
        self.at = long(self.body, self.at)[1]

    def _int(self, *_: Any) -> None:
        self.at = int32(self.body, self.at)[1]

    def _double(self, *_: Any) -> None:
        self.body[self.at + 7]
        self.at += 8

    def _float(self, *_: Any) -> None:
        self._fixed({"size": 4})

    def _fixed(self, schema: Schema, *_: Any) -> None:
        if self.at + schema["size"] > len(self.body):
            raise IndexError
        self.at += schema["size"]

    def _boolean(self, *_: Any) -> None:
        if self.body[self.at] > 1:
            raise Broken(f"{self.body[self.at]} is no boolean")
        self.at += 1

    def _enum(self, schema: Schema, _: str) -> None:
        symbol, self.at = long(self.body, self.at)
        if not 0 <= symbol < len(schema["symbols"]):
            raise Broken(f"symbol {symbol} of an enum of {len(schema['symbols'])}")

    def _record(self, schema: Schema, path: str) -> None:
        for field in schema["fields"]:
            self.value(field["type"], f"{path}.{field['name']}" if path else field["name"])

    def _array(self, schema: Schema, path: str) -> None:
        done = 0
        while block := self._block(path, bytes_min(schema["items"])):
            for at in range(done, done + block):
                self.value(schema["items"], f"{path}[{at}]")
            done += block

    def _map(self, schema: Schema, path: str) -> None:
        while block := self._block(path, 1 + bytes_min(schema["values"])):
            for _ in range(block):
                self.value("string", f"{path} key")
                self.value(schema["values"], f"{path} value")

    def _block(self, path: str, item_bytes_min: int) -> int:
        self.path, self.start = path, self.at
        items, self.at = count(self.body, self.at, item_bytes_min)
        return items
