"""A complete Avro reader for one schema, generated as Python source and compiled at import.

fastavro builds dictionaries and checks nothing of the contract; a generic loop over the schema in Python is slow. The
generated source is straight: one-byte lengths and small numbers are read in place, all else in the helpers below; it
makes the target structs directly and tests the contract's rules on the way. `source_of(...)` shows it.

It refuses what the schema forbids: truncation, trailing bytes, negative lengths, varints longer than ten bytes, block
counts that the remaining bytes cannot hold (before anything is allocated), unknown branches and symbols, broken UTF-8.
A failure raises one of `FAILURES` and says little; `schemas/explain.py` then finds the place, off the hot path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any, NamedTuple
from zlib import crc32

from schemas.errors import BadField
from schemas.library import Schema
from schemas.primitives import Broken, bytes_min, count, int32, length, long, varint

SHARED_MAX = 16_384
"""How many distinct strings of a shared field are kept; then the table starts afresh (about 2 MB)."""

CONTENT_MASK = 0xFFFFF
"""`content` is 20 bits of the Avro body's CRC-32: enough to notice that an id came again with another content."""

_SHOWN = 60  # characters of a refused value in a message

FAILURES = (Broken, IndexError, UnicodeDecodeError)
"""What a generated reader raises on bytes that do not follow the schema; BadField where the contract is broken."""


ALWAYS = "True"


class Rule(NamedTuple):
    """One rule of the contract on one field.

    test: a Python expression over `v` (the value) and, for strings, `n` (its bytes in UTF-8).
    must: what the message says after the value, with the way out.
    shared: values repeat a lot (currency, category): one string object each, tested once.
    uses: functions that `test` calls.
    narrow: a number of up to two bytes (-8192..8191) always passes, so it is not tested.
    """

    test: str = ALWAYS
    must: str = ""
    shared: bool = False
    uses: tuple[Callable[..., object], ...] = ()
    narrow: bool = False


Rules = Mapping[str, Rule]
"""By path, as in `lines[].net_amount`; a map's values are `consent{}`, its keys `consent{key}`."""


def bad(path: str, value: object, must: str) -> BadField:
    """The error for `value` at `path`."""
    if isinstance(value, tuple | dict):
        return BadField(path, f"has {len(value):,} entries: {must}")
    shown = repr(value) if not isinstance(value, str) or len(value) <= _SHOWN else repr(value[:_SHOWN]) + "..."
    return BadField(path, f"is {shown}: {must}")


# ---- what the generated source calls off its fast path, beside `schemas/primitives.py`


def symbol(b: bytes, p: int, symbols: tuple[str, ...], default: str | None, path: str) -> tuple[str, int]:
    """An enum's symbol that the fast path does not take: longer than a byte, none, or the default."""
    value, p = long(b, p)
    if not 0 <= value < len(symbols):
        raise Broken(f"symbol {value} of {len(symbols)}")
    if symbols[value] == default:
        known = "|".join(name for name in symbols if name != default)
        raise BadField(path, f"is none of {known}, or one that this version does not know: upgrade the worker first")
    return symbols[value], p


def learn(table: dict[bytes, str], raw: bytes, value: str) -> None:
    """Keep one string object for `raw`."""
    if len(table) >= SHARED_MAX:
        table.clear()
    table[raw] = value


# ---- the generator


class _Emitter:
    """Source lines, fresh names and the constants that the source needs."""

    def __init__(self, targets: Mapping[str, type], rules: Rules) -> None:
        self.targets, self.rules = targets, rules
        self.lines: list[str] = []
        self.depth = 2  # inside `def`, one statement level
        self.names = 0
        called = (varint, long, int32, length, count, symbol, learn, bad, Broken, crc32)
        self.scope: dict[str, Any] = {function.__name__: function for function in called}

    def __call__(self, line: str, deeper: int = 0) -> None:
        self.lines.append("    " * (self.depth - 1 + deeper) + line)

    def fresh(self, hint: str) -> str:
        self.names += 1
        return f"{hint}_{self.names}"

    def constant(self, hint: str, value: object) -> str:
        name = self.fresh(hint.upper())
        self.scope[name] = value
        return name

    # -- one value: source that reads it from b at p into `var`; `path` is the rules' key, `place` the f-string text

    def value(self, schema: Any, var: str, path: str, place: str) -> None:
        if isinstance(schema, list):
            return self.optional(schema, var, path, place)
        kind = schema if isinstance(schema, str) else schema["type"]
        if isinstance(kind, dict):
            return self.value(kind, var, path, place)
        if isinstance(schema, dict) and schema.get("logicalType") == "timestamp-millis":
            kind = "instant"
        getattr(self, f"_{kind}")(schema, var, path, place)
        rule = self.rules.get(path)
        if rule is not None and not rule.shared and rule.test != ALWAYS:
            self.test(rule, var, place, 1 if rule.narrow else 0)  # 1: still in the branch of the wide numbers
        return None

    def test(self, rule: Rule, var: str, place: str, deeper: int = 0) -> None:
        expression = _named(rule.test, var)
        self(f"if not ({expression}):", deeper)
        self(f"raise bad(f{place!r}, {var}, {self.constant('must', rule.must)})", deeper + 1)

    def optional(self, schema: list[Any], var: str, path: str, place: str) -> None:
        null, other = schema
        assert null == "null", "unions of the contract are null|type"
        self("u = b[p]")
        self("p += 1")
        self("if u > 2:")
        self("u, p = varint(b, p - 1)", 1)
        self("if not u:")
        self(f"{var} = None", 1)
        self("elif u == 2:")
        self.depth += 1
        self.value(other, var, path, place)
        self.depth -= 1
        self("else:")
        self("raise Broken('no such branch')", 1)

    def raw(self) -> None:
        self("n = b[p]")
        self("if n & 129:")
        self("n, q = length(b, p)", 1)
        self("else:")
        self("n >>= 1", 1)
        self("q = p + 1", 1)
        self("p = q + n")

    def _string(self, _: Any, var: str, path: str, place: str) -> None:
        self.raw()
        rule = self.rules.get(path)
        if rule is None or not rule.shared:
            return self(f"{var} = b[q:p].decode()")
        table = self.constant("seen", {})
        self(f"{var} = {table}.get(b[q:p])")
        self(f"if {var} is None:")
        self(f"{var} = b[q:p].decode()", 1)
        self.test(rule, var, place, 1)
        self("if p > end:", 1)
        self("raise Broken('truncated')", 2)
        self(f"learn({table}, b[q:p], {var})", 1)
        return None

    def _bytes(self, _: Any, var: str, *__: str) -> None:
        self.raw()
        self(f"{var} = b[q:p]")

    def number(self, var: str, helper: str) -> None:
        self("x = b[p]")
        self("if x < 128:")
        self(f"{var} = (x >> 1) ^ -(x & 1)", 1)
        self("p += 1", 1)
        self("elif (y := b[p + 1]) < 128:")
        self("x = x & 127 | y << 7", 1)
        self(f"{var} = (x >> 1) ^ -(x & 1)", 1)
        self("p += 2", 1)
        self("else:")
        self(f"{var}, p = {helper}(b, p)", 1)

    def _long(self, _: Any, var: str, *__: str) -> None:
        self.number(var, "long")

    def _int(self, _: Any, var: str, *__: str) -> None:
        self.number(var, "int32")

    def _instant(self, _: Any, var: str, *__: str) -> None:
        """Milliseconds of our time have six bytes (1978 to 2039, or negative to match): they are read in place."""
        self("if p + 5 < end and (x := b[p+5]) < 128 and b[p] & b[p+1] & b[p+2] & b[p+3] & b[p+4] & 128:")
        self("x = b[p] + (b[p+1] << 7) + (b[p+2] << 14) + (b[p+3] << 21) + (b[p+4] << 28) + (x << 35) - 0x810204080", 1)
        self(f"{var} = (x >> 1) ^ -(x & 1)", 1)
        self("p += 6", 1)
        self("else:")
        self(f"{var}, p = long(b, p)", 1)

    def _boolean(self, _: Any, var: str, *__: str) -> None:
        self("x = b[p]")
        self("if x > 1:")
        self("raise Broken('no boolean')", 1)
        self(f"{var} = x == 1")
        self("p += 1")

    def _enum(self, schema: Schema, var: str, _: str, place: str) -> None:
        symbols, default = tuple(schema["symbols"]), schema.get("default")
        fast = self.constant("enum", {2 * at: name for at, name in enumerate(symbols) if name != default and at < 64})
        self(f"{var} = {fast}.get(b[p])")
        self(f"if {var} is None:")
        self(f"{var}, p = symbol(b, p, {self.constant('symbols', symbols)}, {default!r}, f{place!r})", 1)
        self("else:")
        self("p += 1", 1)

    def block(self, item_bytes_min: int) -> str:
        """The head of the loop over blocks; gives the loop's count variable."""
        blocks = self.fresh("k")
        self("while True:")
        self.depth += 1
        self(f"{blocks} = b[p]")
        self(f"if {blocks} & 129:")
        self(f"{blocks}, p = count(b, p, {item_bytes_min})", 1)
        self("else:")
        self(f"{blocks} >>= 1", 1)
        self("p += 1", 1)
        self(f"if not {blocks}:")
        self("break", 1)
        self(f"for _ in range({blocks}):")
        self.depth += 1
        return blocks

    def _array(self, schema: Schema, var: str, path: str, place: str) -> None:
        items, item = self.fresh("items"), self.fresh("item")
        self(f"{items} = []")
        self.block(bytes_min(schema["items"]))
        self.value(schema["items"], item, f"{path}[]", f"{place}[{{len({items})}}]")
        self(f"{items}.append({item})")
        self.depth -= 2
        self(f"{var} = tuple({items})")

    def _map(self, schema: Schema, var: str, path: str, place: str) -> None:
        entries, key, item = self.fresh("entries"), self.fresh("key"), self.fresh("item")
        self(f"{entries} = {{}}")
        self.block(1 + bytes_min(schema["values"]))
        self.value("string", key, f"{path}{{key}}", f"{place} key")
        self.value(schema["values"], item, f"{path}{{}}", f"{place}.{{{key}}}")
        self(f"{entries}[{key}] = {item}")
        self.depth -= 2
        self(f"{var} = {entries}")

    def tail(self, schema: Schema) -> list[tuple[Schema, str]]:
        """The last fields, as far as each may be absent, and what it is then: one look tells, and mostly all are."""
        rest: list[tuple[Schema, str]] = []
        for field in reversed(schema["fields"]):
            empty, rule = _empty(field["type"]), self.rules.get(field["name"], Rule())
            if empty is None or (empty != "None" and not eval(rule.test, {"v": eval(empty)})):
                break
            rest.insert(0, (field, empty))
        return rest

    def _record(self, schema: Schema, var: str, path: str, place: str) -> None:
        fields = {field["name"]: self.fresh(field["name"]) for field in schema["fields"]}
        dot = "." if path else ""
        rest = [] if path else self.tail(schema)
        for field in schema["fields"][: len(schema["fields"]) - len(rest)]:
            self.value(field["type"], fields[field["name"]], path + dot + field["name"], place + dot + field["name"])
        if rest:
            self(f"if b[p:] == {bytes(len(rest))!r}:")
            for field, empty in rest:
                self(f"{fields[field['name']]} = {empty}", 1)
            self("p = end", 1)
            self("else:")
            self.depth += 1
            for field, _ in rest:
                self.value(field["type"], fields[field["name"]], field["name"], field["name"])
            self.depth -= 1
        target = self.targets[schema["name"]]
        extra = {"content": f"crc32(b) & {CONTENT_MASK}"} if "content" in target.__struct_fields__ else {}  # type: ignore[attr-defined]
        made = {name: read for name, read in (fields | extra).items() if name in target.__struct_fields__}  # type: ignore[attr-defined]
        call = self.constant(schema["name"], target)
        if not path:
            self("if p != end:")
            self("raise Broken('length')", 1)
        if any(parameter.kind is Parameter.KEYWORD_ONLY for parameter in signature(target).parameters.values()):
            arguments = ", ".join(f"{name}={read}" for name, read in made.items())
        else:
            arguments = ", ".join(made[name] for name in target.__struct_fields__)  # type: ignore[attr-defined]
        self(f"{var} = {call}({arguments})")


def _empty(schema: Any) -> str | None:
    """What a single zero byte means where it means that nothing is there."""
    if isinstance(schema, list):
        return "None"
    return {"array": "()", "map": "{}"}.get(schema["type"]) if isinstance(schema, dict) else None


def _named(test: str, var: str) -> str:
    """`test` about `var` instead of `v`."""
    return re.sub(r"\bv\b", var, test)


def _generate(schema: Schema, targets: Mapping[str, type], rules: Rules) -> tuple[str, dict[str, Any]]:
    emit = _Emitter(targets, rules)
    emit.scope |= {function.__name__: function for rule in rules.values() for function in rule.uses}
    emit("def read(b):", -1)
    emit("p, end = 0, len(b)")
    emit.value(schema, "record", "", "")
    emit("return record")
    return "\n".join(emit.lines) + "\n", emit.scope


def source_of(schema: Schema, targets: Mapping[str, type], rules: Rules) -> str:
    """The generated source, for people."""
    return _generate(schema, targets, rules)[0]


def reader(schema: Schema, targets: Mapping[str, type], rules: Rules) -> Callable[[bytes], Any]:
    """A function from an Avro body (no framing) to the struct that `targets` names for the schema's record.

    Raises one of `FAILURES` where the body does not follow `schema`, BadField where it breaks a rule.
    """
    source, scope = _generate(schema, targets, rules)
    exec(compile(source, f"<reader of {schema['name']}>", "exec"), scope)
    made: Callable[[bytes], Any] = scope["read"]
    return made
