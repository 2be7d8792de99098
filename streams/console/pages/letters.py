"""Dead letters: what could not be used, why, its bytes, and the button that sends it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sinks.dead_letters import DeadLetter
from streams import visible
from streams.console.markup import Html, el, join
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.pages.stream import utc
from streams.console.words import Words

BYTES_SHOWN: Final = 1_024
_WIDE: Final = 16


def content(ask: Ask, letters: Sequence[DeadLetter], number: int, kinds: Sequence[tuple[str, int]]) -> Html:
    """letters: the latest; number: how many there are; kinds: error classes, with those not sent again."""
    words = ask.words
    heads = (
        (words("letters.record"), ""),
        (words("letters.error"), ""),
        (words("letters.message"), ""),
        (words("letters.again"), ""),
    )
    rows = [
        [
            Cell(
                [
                    el("code", None, f"{one.topic}[{one.partition}]@{one.offset}"),
                    el("span", {"class": "muted"}, " ", utc(one.at)),
                ],
                "lead",
            ),
            Cell(one.error),
            Cell([el("p", None, visible.one_line(one.message)), _bytes(words, one)], "wide"),
            Cell(_again(ask, one)),
        ]
        for one in letters
    ]
    said = words("letters.found", number=words.number(number), shown=words.number(len(letters)))
    return join(
        parts.head(words("letters.title"), words("letters.about")),
        _kinds(ask, kinds),
        parts.section(
            "letters",
            said,
            parts.table(words("letters.title"), heads, rows, words("letters.none"), "letters"),
            live="letters",
        ),
    )


def _again(ask: Ask, one: DeadLetter) -> Html:
    words = ask.words
    if one.cut:
        return el("span", {"class": "muted"}, words("letters.cut"))
    if one.retried:
        return el("span", {"class": "badge l-ok"}, words("letters.sent"))
    if not ask.may_act:
        return el("span", {"class": "muted"}, words("frame.read_only"))
    place = f"{one.topic}[{one.partition}]@{one.offset}"
    return el(
        "form",
        {"method": "post", "action": "/dead-letters", "class": "act", "data-act": True},
        parts.hidden("mark", ask.mark),
        parts.hidden("back", ask.at),
        parts.hidden("topic", one.topic),
        parts.hidden("partition", str(one.partition)),
        parts.hidden("offset", str(one.offset)),
        el(
            "button",
            {"id": f"retry-{place}", "aria-label": words("letters.retry_one", place=place)},
            words("letters.retry"),
        ),
    )


def _kinds(ask: Ask, kinds: Sequence[tuple[str, int]]) -> Html:
    words = ask.words
    forms = [
        el(
            "form",
            {"method": "post", "action": "/dead-letters", "class": "act", "data-act": True},
            parts.hidden("mark", ask.mark),
            parts.hidden("back", ask.at),
            parts.hidden("error", error),
            el(
                "button",
                {"id": f"retry-all-{error}"},
                words("letters.retry_all", number=words.number(number), error=error),
            ),
        )
        for error, number in kinds
        if number and ask.may_act
    ]
    return el("div", {"id": "kinds", "class": "filters", "data-live": "letters"}, forms)


def _bytes(words: Words, one: DeadLetter) -> Html:
    value = one.value or b""
    shown = words("letters.bytes", number=words.number(len(value)))
    key = el("p", {"class": "muted"}, words("letters.key"), " ", el("code", None, _text(one.key or b"")))
    cut = (
        el("p", {"class": "muted"}, words("letters.first", number=words.number(BYTES_SHOWN)))
        if len(value) > BYTES_SHOWN
        else None
    )
    dump = el("pre", {"tabindex": 0, "role": "region", "aria-label": shown}, "\n".join(hex_lines(value[:BYTES_SHOWN])))
    place = f"bytes-{one.letter_partition}-{one.letter_offset}"
    return el("details", {"id": place}, el("summary", None, shown), key, dump, cut)


def hex_lines(value: bytes) -> list[str]:
    """Offset, sixteen bytes, and what of them is readable.

    >>> hex_lines(b"ab\\x00")
    ['0000  61 62 00                                         ab.']
    """
    lines = []
    for at in range(0, len(value), _WIDE):
        piece = value[at : at + _WIDE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:04x}  {piece.hex(' '):<{3 * _WIDE - 1}}  {text}")
    return lines


def _text(value: bytes) -> str:
    return visible.one_line(value.decode("utf-8", "backslashreplace"))
