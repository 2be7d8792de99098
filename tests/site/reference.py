"""The reference pages of the site, written from what runs: topics and schemas, policy, settings, metrics, commands."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from prometheus_client.metrics_core import Metric

from processors.money import Rate
from processors.policy import Document
from processors.sections import CONDITIONS
from schemas import library
from schemas.topics import PARTITIONS_DEFAULT, TOPICS, Topic
from sinks.metrics import Metrics
from streams.cli import TABLE, load, parser
from streams.settings import SPECS
from tests.conftest import ROOT

COLUMNS = "100"
"""How wide the help of a command is written."""


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A table of Markdown. A bar within a cell would end it."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines) + "\n"


def schemas() -> str:
    """Each topic: key, settings, fields."""
    parts = [
        "# Topics and schemas\n\nWritten from `schemas/`. The same for tools, headers and bindings too: "
        "[asyncapi.yaml](../asyncapi.yaml). How records are framed and placed: [wire format](../use/wire-format.md).\n"
    ]
    for topic in TOPICS.values():
        parts.append(f"## `{topic.name}`\n\n{_about(topic)}\n")
        if topic.schema is not None:
            schema = library.source(topic.name)
            rows = ((f"`{path}`", kind, doc) for path, kind, doc in _fields(schema, ""))
            parts.append(f"{schema['doc']}\n\n{table(('field', 'type', 'meaning'), rows)}")
    return "\n".join(parts)


def _about(topic: Topic) -> str:
    number = topic.partitions or f"the programme's number ({PARTITIONS_DEFAULT} by default)"
    settings = ", ".join(f"`{name}={value}`" for name, value in topic.config().items())
    return f"Direction: {topic.direction}. Key: {topic.key}. Partitions: {number}. {settings}."


def _fields(record: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for field in record["fields"]:
        name = f"{path}{field['name']}"
        default = f", default `{field['default']!r}`".replace("None", "null") if "default" in field else ""
        yield name, _kind(field["type"]) + default, field.get("doc", "")
        for nested, ending in _records(field["type"]):
            yield from _fields(nested, f"{name}{ending}.")


def _records(kind: Any) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(kind, list):
        for branch in kind:
            yield from _records(branch)
    elif isinstance(kind, dict) and kind["type"] == "record":
        yield kind, ""
    elif isinstance(kind, dict) and kind["type"] == "array":
        yield from ((record, "[]" + ending) for record, ending in _records(kind["items"]))


def _kind(kind: Any) -> str:
    if isinstance(kind, list):
        return " or ".join(_kind(branch) for branch in kind)
    if isinstance(kind, str):
        return kind
    if kind["type"] == "enum":
        return " \\| ".join(kind["symbols"]).replace("\\|", "|")
    if kind["type"] in ("array", "map"):
        inner = kind["items" if kind["type"] == "array" else "values"]
        return f"{kind['type']} of {_kind(inner)}"
    return str(kind.get("logicalType") or kind.get("name") or kind["type"])


def policy() -> str:
    """Each table of a policy file with its entries and their defaults; then the shipped one whole."""
    parts = [
        "# The policy file\n\nWritten from the code that reads it. What each rule does with these numbers: "
        "[the rules](../rules.md). `loyalty policy check FILE` names every error with its line.\n"
    ]
    for field in msgspec.structs.fields(Document):
        section = _section(field.type)
        if section is None:
            continue
        many = get_origin(_plain(field.type)) is tuple
        said = inspect.getdoc(section) or ""
        rows = ((f"`{one.encode_name}`", _type(one.type), _default(one)) for one in msgspec.structs.fields(section))
        if field.encode_name == "tiers":
            said += " In the file each condition is an entry of its own: " + ", ".join(
                f"`{name}`" for name in CONDITIONS
            )
        title = f"[[{field.encode_name}]]" if many else f"[{field.encode_name}]"
        parts.append(f"## `{title}`\n\n{said}\n\n{table(('entry', 'type', 'default'), rows)}")
    shipped = (ROOT / "infra" / "policy.toml").read_text("utf-8")
    parts.append(f"## The shipped policy\n\n`infra/policy.toml`\n\n```toml\n{shipped}```\n")
    return "\n".join(parts)


def _plain(kind: Any) -> Any:
    """Without what is only said about it."""
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _section(kind: Any) -> type[msgspec.Struct] | None:
    kind = _plain(kind)
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return kind
    return next((found for inner in get_args(kind) if (found := _section(inner)) is not None), None)


WORDS = {str: "text", int: "whole number", bool: "true or false", float: "number", Rate: "exact decimal",
         type(None): "nothing"}  # fmt: skip


def _type(kind: Any) -> str:
    """A type in the words of who writes the file; what the code says of it, where it does."""
    said = next((meta.description for meta in getattr(kind, "__metadata__", ()) if meta.description), None)
    if said:
        return str(said)
    kind = _plain(kind)
    inner = [_type(one) for one in get_args(kind) if one is not Ellipsis]
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(one for one in inner if one != "nothing")
    if get_origin(kind) in (tuple, frozenset, list):
        return f"list of ({', '.join(inner)})" if len(inner) > 1 else f"list of {inner[0]}"
    if get_origin(kind) is not None:
        return f"table of {' to '.join(inner)}" if get_origin(kind) is not Literal else " | ".join(
            str(one) for one in get_args(kind)
        )  # fmt: skip
    return WORDS.get(kind, str(getattr(kind, "__name__", kind)))


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        return _value(field.default)
    return "required" if field.default_factory is msgspec.NODEFAULT else _value(field.default_factory())


def _value(value: Any) -> str:
    """A default as the file would have it."""
    if value is None or value in ((), {}, frozenset(), ""):
        return "none"
    if isinstance(value, Rate):
        return f"`{value.numerator / value.denominator:g}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value!r}`"


def settings() -> str:
    """Each environment variable."""
    rows = (
        (f"`{spec.name}`", f"`{_shown(spec.default)}`" if spec.default else "empty",
         spec.help + ("; also as a file: `…_FILE`" if spec.secret else ""))
        for spec in SPECS
    )  # fmt: skip
    head = "# Settings\n\nEnvironment variables. `loyalty doctor` prints each with its value and what it reaches.\n\n"
    return head + table(("variable", "default", "meaning"), rows)


def _shown(default: str) -> str:
    return default.removeprefix(f"{ROOT}/")


def metrics() -> str:
    """What a worker serves."""
    found: list[Metric] = sorted(Metrics().registry.collect(), key=lambda metric: metric.name)
    rows = ((f"`{metric.name}{'_total' * (metric.type == 'counter')}`", metric.type, metric.documentation)
            for metric in found)  # fmt: skip
    head = "# Metrics of a worker\n\nOn `LOYALTY_METRICS`, `/metrics`. No label takes a customer's id.\n\n"
    return head + table(("metric", "type", "meaning"), rows)


def commands() -> str:
    """Each command's own help."""
    parts = [
        "# Commands\n\nExit code 0: fine, 1: failed, 2: wrong usage. `--json`: one JSON object a line on stdout.\n"
    ]
    width, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), COLUMNS
    try:
        for entry in TABLE:
            words = entry.name.split()
            leaf: Any = parser(words)
            for word in words:
                leaf = next(action.choices[word] for action in leaf._actions if word in (action.choices or ()))
            assert load(entry)
            parts.append(f"## `loyalty {entry.name}`\n\n```text\n{leaf.format_help().rstrip()}\n```\n")
    finally:
        if width is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = width
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {
    "reference/schemas.md": schemas,
    "reference/policy.md": policy,
    "reference/settings.md": settings,
    "reference/metrics.md": metrics,
    "reference/commands.md": commands,
}
"""By path within the site."""
