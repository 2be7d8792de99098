"""What the console says, in the reader's language. Sentences are data: `texts/<language>.toml`, one table each page.

The sentences of reasons and of care are the programme's (`processors/texts`), in the reader's language, too, but for
those that a policy brings itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Final

from processors.days import Calendar
from processors.money import EXPONENTS
from processors.outputs import Reason
from processors.policy import Policy
from processors.wording import Wording
from streams.console.survey import Due, Why
from streams.texts import wording

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "zh": "中文"}
"""Each with its own name."""

NEVER_MS: Final = 1 << 53
_HOUR_MS: Final = 3_600_000


class Words:
    """The texts of one language, and numbers as its readers write them."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language, self._texts = language, texts

    def __call__(self, code: str, **values: object) -> str:
        """The sentence of `code`, as `table.name`. A code that no text has is a fault of ours: KeyError."""
        return self._texts[code].format(**values)

    def name(self, table: str, code: str) -> str:
        """What a code of the programme is called; the code itself where it has no name (a policy may bring its own)."""
        return self._texts.get(f"{table}.{code}", code)

    def codes(self) -> dict[str, frozenset[str]]:
        """Every code with the names of what it takes."""
        return {
            code: frozenset(name for _, name, _, _ in Formatter().parse(text) if name)
            for code, text in self._texts.items()
        }

    @property
    def programme(self) -> Wording:
        """The sentences of reasons and of care."""
        return wording(self.language)

    def reason(self, why: Why) -> str:
        """A reason to leave, in the customer's terms."""
        return self.programme.risk_reason(Reason(why.code, why.weight, why.have, why.usual))

    def care(self, due: Due, policy: Policy) -> str:
        """What to do."""
        return self.programme.care_of(due.kind, due.have, due.usual, due.what, due.tier, due.day, policy)

    def number(self, number: float | None, decimals: int = 0) -> str:
        return "–" if number is None else f"{number:,.{decimals}f}"

    def percent(self, part: float | None, decimals: int = 1) -> str:
        return "–" if part is None else f"{100 * part:.{decimals}f}%"

    def money(self, minor: int | None, currency: str, *, short: bool = False) -> str:
        """An amount with its currency. short: whole units, thousands as k, for an axis or a tile."""
        if minor is None:
            return "–"
        exponent = EXPONENTS.get(currency, 0)
        major = minor / 10**exponent
        if short:
            return f"{_short(major)} {currency}"
        whole, rest = divmod(abs(minor), 10**exponent)
        sign = "-" if minor < 0 else ""
        return f"{sign}{whole:,}" + (f".{rest:0{exponent}d}" if exponent else "") + f" {currency}"

    def axis(self, minor: float, currency: str) -> str:
        """An amount on an axis, which names the currency once."""
        return _short(minor / 10 ** EXPONENTS.get(currency, 0))

    def day(self, ms: int | None, calendar: Calendar) -> str:
        """A day of the programme."""
        return "–" if ms is None or ms >= NEVER_MS else calendar.iso_day(calendar.day_of(ms))

    def instant(self, ms: int | None, calendar: Calendar) -> str:
        """A day of the programme and its time."""
        if ms is None or ms >= NEVER_MS:
            return "–"
        hour, minute = divmod(calendar.minute_of(ms), 60)
        return f"{calendar.iso_day(calendar.day_of(ms))} {hour:02}:{minute:02}"

    def span(self, ms: float) -> str:
        """How long, in the largest unit that fits."""
        seconds = ms / 1_000
        for code, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
            if seconds >= 2 * size:
                return self(f"unit.{code}", number=f"{seconds / size:,.0f}")
        return self("unit.seconds", number=f"{seconds:,.1f}" if seconds < 10 else f"{seconds:,.0f}")


@cache
def words(language: str) -> Words:
    """The texts of a language of `LANGUAGES`."""
    tables = tomllib.loads((files("streams.console") / "texts" / f"{language}.toml").read_text("utf-8"))
    return Words(language, {f"{table}.{name}": text for table, held in tables.items() for name, text in held.items()})


def chosen(cookie: str | None, accepts: str) -> str:
    """The language to answer in: the one chosen, else the first that the browser accepts and we have, else English.

    >>> chosen(None, "de-DE,zh-CN;q=0.8,en;q=0.5")
    'zh'
    """
    if cookie is not None and cookie in LANGUAGES:
        return cookie
    for part in accepts.split(","):
        name = part.partition(";")[0].strip().partition("-")[0].lower()
        if name in LANGUAGES:
            return name
    return "en"


def _short(number: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            shown = number / size
            return f"{shown:,.0f}{sign}" if abs(shown) >= 100 else f"{shown:.1f}".removesuffix(".0") + sign
    return f"{number:,.0f}" if abs(number) >= 10 or number == int(number) else f"{number:.2g}"
