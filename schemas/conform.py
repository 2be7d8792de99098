"""Why a dictionary does not fit a schema: asked once fastavro has refused it, whose own message names no place."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from schemas.errors import BadField
from schemas.library import Schema

_BITS = {"int": 31, "long": 63}
_PLAIN: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "string": (str,),
    "bytes": (bytes,),
    "double": (float, int),
    "int": (int,),
    "long": (int,),
}


def misfit(schema: Any, datum: Any, path: str = "", known: dict[str, Any] | None = None) -> BadField | None:
    """The first place where `datum` does not fit `schema`; None where it does."""
    known = {} if known is None else known
    if isinstance(schema, list):
        return _union(schema, datum, path, known)
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(kind, dict):
        return misfit(kind, datum, path, known)
    if kind in known:
        return misfit(known[kind], datum, path, known)
    if isinstance(schema, dict) and "name" in schema:
        known[schema["name"]] = schema
    if kind in _PLAIN:
        return _plain(kind, datum, path)
    found: BadField | None = {"record": _record, "enum": _enum, "array": _array, "map": _map}[kind](
        schema, datum, path, known
    )
    return found


def _no(path: str, datum: object, must: str) -> BadField:
    shown = repr(datum)
    return BadField(path or "the record", f"is {shown if len(shown) <= 60 else shown[:60] + '...'}: must be {must}")


def _plain(kind: str, datum: Any, path: str) -> BadField | None:
    if not isinstance(datum, _PLAIN[kind]) or (isinstance(datum, bool) and kind != "boolean"):
        return _no(path, datum, {"string": "text", "int": "a whole number", "long": "a whole number"}.get(kind, kind))
    bits = _BITS.get(kind)
    if bits is not None and isinstance(datum, int) and not -(1 << bits) <= datum < 1 << bits:
        return _no(path, datum, f"a number of {bits + 1} bits")
    return None


def _union(schema: list[Any], datum: Any, path: str, known: dict[str, Any]) -> BadField | None:
    if datum is None and "null" in schema:
        return None
    found = [misfit(branch, datum, path, known) for branch in schema if branch != "null"]
    return None if None in found else found[0]


def _record(schema: Schema, datum: Any, path: str, known: dict[str, Any]) -> BadField | None:
    if not isinstance(datum, Mapping):
        return _no(path, datum, f"a {schema['name']} with its fields")
    dot = f"{path}." if path else ""
    names = [field["name"] for field in schema["fields"]]
    for name in datum:
        if name not in names:
            near = get_close_matches(str(name), names, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return BadField(f"{dot}{name}", f"is no field of {schema['name']}{hint}")
    for field in schema["fields"]:
        if field["name"] in datum:
            found = misfit(field["type"], datum[field["name"]], dot + field["name"], known)
            if found:
                return found
        elif "default" not in field:
            return BadField(dot + field["name"], "is missing and has no default")
    return None


def _enum(schema: Schema, datum: Any, path: str, _: object) -> BadField | None:
    symbols = [symbol for symbol in schema["symbols"] if symbol != schema.get("default")]
    return None if datum in schema["symbols"] else _no(path, datum, "one of " + "|".join(symbols))


def _array(schema: Schema, datum: Any, path: str, known: dict[str, Any]) -> BadField | None:
    if not isinstance(datum, list | tuple):
        return _no(path, datum, "a list")
    found = (misfit(schema["items"], item, f"{path}[{at}]", known) for at, item in enumerate(datum))
    return next((bad for bad in found if bad), None)


def _map(schema: Schema, datum: Any, path: str, known: dict[str, Any]) -> BadField | None:
    if not isinstance(datum, Mapping):
        return _no(path, datum, "a map")
    for key, value in datum.items():
        found = _plain("string", key, f"{path} key") or misfit(schema["values"], value, f"{path}.{key}", known)
        if found:
            return found
    return None
