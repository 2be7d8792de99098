"""All that is printed. Two audiences: a person (tables, progress) and a program (`--json`, one object a line).

Results go to stdout; notes, progress and errors to stderr, so that a pipe carries results alone.
"""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from streams import visible


class Progress(Protocol):
    """Tells how far a long job is."""

    def advance(self, steps: int = 1) -> None:
        """So many more are done."""

    def tell(self, text: str) -> None:
        """Shown behind the bar."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a screen: each cell is its lines, with a style by rich's names."""

    cells: tuple[tuple[str, ...], ...]
    styles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A table of a screen, or a note alone. columns: each heading is its lines; the last takes the width left."""

    title: str
    columns: tuple[tuple[str, ...], ...]
    rows: tuple[Row, ...]
    note: str = ""


class Output:
    """Where one command prints. `as_json`: one JSON object a line on stdout, everything else on stderr."""

    def __init__(self, as_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.as_json = as_json
        self._out = stdout or sys.stdout
        self._err = stderr or sys.stderr

    @classmethod
    def of(cls, args: Namespace) -> "Output":
        """The output that the command line asks for."""
        return cls(as_json=bool(getattr(args, "json", False)))

    def say(self, text: str = "") -> None:
        """A line for a person; on stderr when stdout belongs to a program."""
        print(visible.lines(text), file=self._err if self.as_json else self._out, flush=True)

    def note(self, text: str) -> None:
        """A line beside the result (what is being done, a warning): always on stderr."""
        print(visible.lines(text), file=self._err, flush=True)

    def record(self, record: Mapping[str, Any]) -> None:
        """One result: a JSON object, or names and values below each other."""
        if self.as_json:
            self._json(record)
            return
        width = max((len(name) for name in record), default=0)
        for name, value in record.items():
            print(f"{name:<{width}}  {_cell(value)}", file=self._out)

    def records(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Many results as they come, one line each; the number of them."""
        count = 0
        for record in records:
            count += 1
            if self.as_json:
                self._json(record)
            else:
                print("  ".join(f"{name}={_cell(value)}" for name, value in record.items()), file=self._out)
        self._out.flush()
        return count

    def table(
        self,
        records: Iterable[Mapping[str, Any]],
        columns: Sequence[str] = (),
        title: str = "",
        empty: str = "none",
        right: Collection[str] = (),
    ) -> None:
        """Results as a table (`columns`: which and in which order, default all of the first); as JSON, all fields.

        Numbers stand on the right, and so do the columns `right`. `empty` is said to a person when there is nothing.
        """
        if self.as_json:
            for record in records:
                self._json(record)
            self._out.flush()
            return
        rows = list(records)
        if not rows:
            self.say(f"{title}: {empty}" if title else empty)
            return
        self._rich_table(rows, columns or tuple(rows[0]), title, right)

    @property
    def can_redraw(self) -> bool:
        """Is there a terminal and a person before it, so that `live` makes sense?"""
        if self.as_json or not self._out.isatty():
            return False
        from rich.console import Console

        return not Console(file=self._out).is_dumb_terminal

    @contextmanager
    def live(self, parts: Callable[[int], Sequence[Part]]) -> Iterator[None]:
        """While the block runs, what `parts(height in lines)` gives is drawn in place, a few times a second.

        It is called from a thread of its own. At the end it is drawn once more, and stays.
        """
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._out, highlight=False)

        def drawn() -> Any:
            return screen(parts(console.height), console.width)

        with Live(get_renderable=drawn, console=console, refresh_per_second=4):
            yield

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """A bar on stderr while the block runs; without a terminal a line now and then, with `--json` nothing."""
        if self.as_json:
            yield _Silent()
        elif self._err.isatty():
            yield from _bar(label, total, self._err)
        else:
            yield from _lines(label, total, self._err)

    def _json(self, record: Mapping[str, Any]) -> None:
        print(json.dumps(record, ensure_ascii=False, default=_plain), file=self._out)

    def _rich_table(
        self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str, right: Collection[str]
    ) -> None:
        from rich.console import Console  # here, not above: `--help` and `--json` need no rich
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
        for column in columns:
            numeric = all(isinstance(row.get(column), (int, float)) or row.get(column) is None for row in rows)
            table.add_column(column, justify="right" if numeric or column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_cell(row.get(column))) for column in columns))
        console = Console(file=self._out, highlight=False, width=None if self._out.isatty() else 160)
        console.print(table)


def screen(parts: Sequence[Part], width: int) -> Any:
    """The parts below each other, for rich to draw on so many columns; what is too wide ends with an ellipsis.

    No column but the last takes more than a quarter: an id may be 128 bytes long, and what is read are the sentences.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def one_line(text: str, style: str) -> Text:
        return Text(visible.one_line(text), style=style, no_wrap=True, overflow="ellipsis")

    drawn: list[Any] = []
    for part in parts:
        if part.columns:
            table = Table(header_style="bold", box=None, pad_edge=False, expand=True)
            for heading in part.columns[:-1]:
                table.add_column("\n".join(heading), no_wrap=True, overflow="ellipsis", max_width=max(10, width // 4))
            table.add_column("\n".join(part.columns[-1]), no_wrap=True, overflow="ellipsis", ratio=1)
            for row in part.rows:
                styled = zip(row.cells, row.styles, strict=True)
                table.add_row(*(Text("\n".join(map(visible.one_line, cell)), style=style) for cell, style in styled))
            drawn += [one_line(part.title, "bold"), table]
        if part.note:
            drawn.append(one_line(part.note, "dim"))
    return Group(*drawn)


def fail(text: str) -> None:
    """An error, on stderr."""
    print(visible.lines(f"loyalty: {text}"), file=sys.stderr, flush=True)


def close_broken_pipe() -> None:
    """The reader of our stdout has gone (`| head`): let the interpreter end without complaining about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, (dict, list, tuple)):
        return visible.one_line(json.dumps(value, ensure_ascii=False, default=_plain))
    return visible.one_line(str(_plain(value)) if isinstance(value, bytes) else str(value))


def _plain(value: Any) -> Any:
    """What `json` cannot write by itself."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is nothing that JSON knows: turn it into text or a number first")


class _Silent:
    def advance(self, steps: int = 1) -> None: ...

    def tell(self, text: str) -> None: ...


def _bar(label: str, total: int | None, err: TextIO) -> Iterator[Progress]:
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("{task.fields[told]}"),
    )
    with bars.Progress(*columns, console=Console(file=err)) as shown:
        task = shown.add_task(label, total=total, told="")

        class Bar:
            def advance(self, steps: int = 1) -> None:
                shown.advance(task, steps)

            def tell(self, text: str) -> None:
                shown.update(task, told=text)

        yield Bar()


def _lines(label: str, total: int | None, err: TextIO) -> Iterator[Progress]:
    """Without a terminal: a line at each tenth (of the total, else each 100,000), so that a log stays readable."""
    every = max(1, total // 10) if total else 100_000

    class Lines:
        done = 0
        shown = 0
        told = ""

        def advance(self, steps: int = 1) -> None:
            before, self.done = self.done, self.done + steps
            if self.done // every > before // every:
                self.shown = self.done
                of = f" of {total:,}" if total else ""
                print(f"{label}: {self.done:,}{of} {self.told}".rstrip(), file=err, flush=True)

        def tell(self, text: str) -> None:
            self.told = text

    lines = Lines()
    yield lines
    if lines.shown < lines.done or not lines.done:
        print(f"{label}: {lines.done:,} done", file=err, flush=True)
