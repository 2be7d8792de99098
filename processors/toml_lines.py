"""On which line each entry of a TOML document stands: tomllib reads values but forgets where they were.

The document is known to be valid (tomllib has read it), so the scanner only has to follow its shape: headers, keys,
arrays, inline tables, strings and comments. An entry inside an inline table or array has its own path too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\", "e": "\x1b"}


def lines(text: str) -> dict[Path, int]:
    """Path of each table, element and key -> its line, from 1. `text` must be valid TOML."""
    return _Scanner(text).scan()


def line_of(path: Path, known: Mapping[Path, int]) -> int:
    """The line of `path`, or of the nearest entry around it (for one that is missing)."""
    while path and path not in known:
        path = path[:-1]
    return known.get(path, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n") + "\n"
        self.at = 0
        self.found: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}  # arrays of tables -> elements so far

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank(newlines=True):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._entry(table)
        return self.found

    def _note(self, path: Path) -> None:
        self.found.setdefault(path, self.text.count("\n", 0, self.at) + 1)

    def _skip_blank(self, newlines: bool) -> bool:
        """Past spaces and comments, and line ends if `newlines`. False at the end of the text."""
        blank = " \t\n" if newlines else " \t"
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign == "#":
                self.at = self.text.index("\n", self.at)
            elif sign in blank:
                self.at += 1
            else:
                return True
        return False

    def _header(self) -> Path:
        many = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if many else 1
        keys = self._dotted()
        path: Path = ()
        for place, key in enumerate(keys):
            path += (key,)
            if many and place == len(keys) - 1:
                self.counts[path] = self.counts.get(path, -1) + 1
            if path in self.counts:
                path += (self.counts[path],)
        end, self.at = self.at, start
        self._note(path)
        self.at = end + (2 if many else 1)
        return path

    def _entry(self, table: Path) -> None:
        start = self.at
        path = table
        for key in self._dotted():
            path += (key,)
            end, self.at = self.at, start
            self._note(path)
            self.at = end
        self.at += 1  # the equals sign
        self._skip_blank(newlines=False)
        self._value(path)

    def _dotted(self) -> list[str]:
        keys = []
        while True:
            self._skip_blank(newlines=False)
            if self.text[self.at] in "\"'":
                keys.append(self._string())
            else:
                bare = _BARE.match(self.text, self.at)
                assert bare, "tomllib has accepted the document"
                keys.append(bare.group())
                self.at = bare.end()
            self._skip_blank(newlines=False)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _value(self, path: Path) -> None:
        sign = self.text[self.at]
        if sign in "\"'":
            self._string()
        elif sign == "[":
            self._array(path)
        elif sign == "{":
            self._inline(path)
        else:
            while self.text[self.at] not in ",]}#\n":
                self.at += 1

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._skip_blank(newlines=True) and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._note((*path, index))
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline(self, path: Path) -> None:
        self.at += 1
        while self._skip_blank(newlines=True) and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._entry(path)
        self.at += 1

    def _string(self) -> str:
        quote = self.text[self.at]
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(mark)
        start = self.at
        while not self.text.startswith(mark, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        inner = self.text[start : self.at]
        self.at += len(mark)
        while len(mark) > 1 and self.text[self.at] == quote:  # up to two quotes may end the text itself
            self.at += 1
        return _unescaped(inner) if quote == '"' else inner


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        sign = found.group(1)
        return chr(int(sign[1:], 16)) if sign[0] in "xuU" else _ESCAPES.get(sign, sign)

    return re.sub(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", one, text)
