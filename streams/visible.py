"""Texts from records and files, made fit for a terminal and a log: what would steer either is shown, not obeyed.

A customer's id may hold an escape sequence that clears the screen or renames the window, a line break that makes a log
line of its own, or a mark that turns the direction of writing round.
"""

from __future__ import annotations

import re
from typing import Final

_STEERS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_STEERS_BUT_LAYOUT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    r"""`text` with each steering character as its escape.

    >>> one_line("anna\n\x1b[2J")
    'anna\\n\\x1b[2J'
    """
    return _STEERS.sub(_escape, text)


def lines(text: str) -> str:
    """The same, with line breaks and tabs left: for sentences of our own around texts of others."""
    return _STEERS_BUT_LAYOUT.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
