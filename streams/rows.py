"""Files as rows: JSON lines, CSV and Avro containers, each row with its line number, the bad ones with their reason.

A row becomes the fields of one input record (`Row.fields`, as `schemas/codec.py` writes them); what is wrong with it is
told as `BadRow` and the file goes on. Only what makes every row wrong (an unknown column, a file that is none of the
three formats) ends it, as LoyaltyError.

Times are ISO 8601 with an offset, or UTC ms. In CSV a purchase has one row a line: neighbouring rows with one
`event_id` are one purchase, and the columns of the purchase itself may be empty from its second row on. An empty cell
is a field left out. Lists are split by `;`: `coupon_ids` as `a;b`, `consent` as `email=true;sms=false`,
`anniversaries` as `wedding=06-21;first visit=2015-03-02`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from schemas import container, topics
from schemas.errors import BadField, BrokenAvro
from streams.fields import cells_of, field_types, line_types, record_of, show
from streams.settings import LoyaltyError

LINE_BYTES_MAX = 8 * topics.RECORD_BYTES_MAX
"""The longest JSON line that is read: JSON is wordier than Avro, whose records have at most 1 MiB."""

FORMATS = ("jsonl", "csv", "avro")

_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".avro": "avro"}


class Row(NamedTuple):
    """The fields of one record, and the first line (JSON, CSV) or the number (Avro) of the record in its file.

    parts: the line of each receipt line, where each has its own.
    """

    line: int
    fields: dict[str, Any]
    parts: tuple[int, ...] = ()

    def line_of(self, path: str) -> int:
        """The line on which the field `path` stands."""
        found = re.match(r"lines\[(\d+)\]", path)
        return self.parts[int(found.group(1))] if found and self.parts else self.line


class BadRow(NamedTuple):
    """A row that is left out: its line, and why, naming the field."""

    line: int
    reason: str


def format_of(path: Path) -> str:
    """The format that the file's name tells. LoyaltyError where it tells none."""
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise LoyaltyError(f"{path}: the name tells no format; call it .jsonl, .csv or .avro, or say --format")
    return found


def check_readable(path: Path) -> None:
    """LoyaltyError where there is no such file, or it can't be read: before anything else is asked."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> LoyaltyError:
    return LoyaltyError(f"{path}: {(error.strerror or str(error)).lower()}; name a file that can be read")


def read_rows(path: Path, topic: str, file_format: str) -> Iterator[Row | BadRow]:
    """The rows of a file for an input topic, in the file's order. LoyaltyError where the whole file is unusable."""
    try:
        if file_format == "avro":
            yield from _avro(path, topic)
            return
        with path.open("rb") as file:
            yield from (csv_rows if file_format == "csv" else json_rows)(file, topic, path.name)
    except OSError as error:
        raise _unreadable(path, error) from None


# ---- JSON


def json_rows(file: BinaryIO, topic: str, name: str = "input") -> Iterator[Row | BadRow]:
    """One JSON object a line; empty lines are passed over."""
    del name
    convert = record_of(topic, text=False)
    decode = msgspec.json.Decoder().decode
    for line, raw in enumerate(_lines(file), 1):
        if raw is None:
            yield BadRow(line, f"the line has more than {LINE_BYTES_MAX:,} bytes: a record has at most 1 MiB")
            continue
        if line == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - a byte order mark, as Windows writes it
        if not raw.strip():
            continue
        try:
            yield Row(line, convert(decode(raw), ""))
        except BadField as error:
            yield BadRow(line, str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield BadRow(line, f"is no JSON: {error}; one object a line, in UTF-8")


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines; None for one that is too long, which is passed over without being held in memory."""
    while raw := file.readline(LINE_BYTES_MAX):
        if len(raw) < LINE_BYTES_MAX or raw.endswith(b"\n"):
            yield raw
            continue
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(LINE_BYTES_MAX)
        yield None


# ---- Avro


def _avro(path: Path, topic: str) -> Iterator[Row | BadRow]:
    try:
        yield from (Row(number, fields) for number, fields in enumerate(container.read_container(path, topic), 1))
    except BrokenAvro as error:
        raise LoyaltyError(f"{error}; what precedes it was read: nothing was written") from None


# ---- CSV


class _Group:
    """The rows so far of one purchase. A wrong one spoils it whole: half a basket would be another basket."""

    def __init__(self, line: int, fields: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        self.line, self.fields, self.lines = line, fields, lines
        self.parts: list[int] = []
        self.bad: list[BadRow] = []


def csv_rows(file: BinaryIO, topic: str, name: str = "input") -> Iterator[Row | BadRow]:
    """A header with the fields' names, then one record a row; for purchases one receipt line a row."""
    text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    try:
        header = next(reader, None)
        if header is None:
            raise LoyaltyError(f"{name}: is empty; the first line must name the fields")
        columns = _columns(header, topic, name)
        rows = _cells(reader, columns)
        yield from _grouped(rows, topic) if topic == topics.PURCHASES else _plain_rows(rows, topic)
    except csv.Error as error:
        raise LoyaltyError(f"{name}:{reader.line_num}: is no CSV: {error}; mend the quotes there") from None
    finally:
        text.detach()


def _columns(header: Sequence[str], topic: str, name: str) -> list[str]:
    """The header's columns under the fields' names; those of a receipt line also as `lines.sku`."""
    known = [*field_types(topic), *(line_types() if topic == topics.PURCHASES else ())]
    columns = [column.strip().removeprefix("lines.") for column in header]
    for column in columns:
        if column in known and column != "lines":
            continue
        near = get_close_matches(column, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; they are {', '.join(known)}"
        if len(columns) == 1 and re.search(r"[;\t|]", column):
            hint = "; columns are separated by commas"
        raise LoyaltyError(f"{name}:1: {column!r} is no field of {topic}{hint}")
    if len(set(columns)) < len(columns):
        twice = next(column for at, column in enumerate(columns) if column in columns[:at])
        raise LoyaltyError(f"{name}:1: the column {twice} is there twice; drop one")
    return columns


def _cells(reader: Any, columns: list[str]) -> Iterator[tuple[int, dict[str, str] | None]]:
    """First line and non-empty cells of each row; None where the number of cells is not the header's."""
    last = reader.line_num
    for cells in reader:
        line, last = last + 1, reader.line_num
        if not cells:
            continue
        if len(cells) != len(columns):
            yield line, None
            continue
        yield line, {column: cell for column, cell in zip(columns, cells, strict=True) if cell != ""}


_CELLS = "does not have as many cells as the header: quote a text that holds a comma, and keep empty cells"

_NO_ID = "event_id is missing: neighbouring rows with one event_id are one purchase"


def _plain_rows(rows: Iterator[tuple[int, dict[str, str] | None]], topic: str) -> Iterator[Row | BadRow]:
    convert = record_of(topic, text=True)
    for line, cells in rows:
        try:
            yield BadRow(line, _CELLS) if cells is None else Row(line, convert(cells, ""))
        except BadField as error:
            yield BadRow(line, str(error))


def _grouped(rows: Iterator[tuple[int, dict[str, str] | None]], topic: str) -> Iterator[Row | BadRow]:
    """Neighbouring rows with one event_id as one purchase."""
    convert_head, convert_line = record_of(topic, text=True), cells_of(line_types(), "Line")
    group: _Group | None = None
    for line, cells in rows:
        event_id = None if cells is None else cells.get("event_id")
        if cells is None or event_id is None:
            yield from _finished(group)
            group = None
            yield BadRow(line, _CELLS if cells is None else _NO_ID)
            continue
        head = {name: cell for name, cell in cells.items() if name not in line_types()}
        part = {name: cell for name, cell in cells.items() if name in line_types()}
        if group is None or group.fields["event_id"] != event_id:
            yield from _finished(group)
            group = _Group(line, {"event_id": event_id}, [])
            first = True
        else:
            first = False
        try:
            fields = convert_head(head, "")
            if first:
                group.fields.update(fields)
            elif not group.bad:
                _same(group, fields)
            group.parts.append(line)
            group.lines.append(convert_line(part, f"lines[{len(group.lines)}]."))
        except BadField as error:
            group.bad.append(BadRow(line, str(error)))
    yield from _finished(group)


def _same(group: _Group, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name not in group.fields or group.fields[name] != value:
            other = f"line {group.line} has the same event_id and {show(group.fields.get(name))}"
            raise BadField(name, f"is {show(value)}: {other}; give each purchase its own event_id")


def _finished(group: _Group | None) -> Iterator[Row | BadRow]:
    if group is None:
        return
    yield from group.bad
    if not group.bad:
        yield Row(group.line, group.fields | {"lines": group.lines}, tuple(group.parts))
    elif any(bad.line != group.line for bad in group.bad) or len(group.lines) + len(group.bad) > 1:
        yield BadRow(group.line, f"the purchase {group.fields['event_id']!r} that begins here is left out whole")
