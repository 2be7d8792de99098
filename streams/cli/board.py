"""The board of `subscribe churn-risk`: alerts in, the rows of a screen out. No terminal here, and no clock.

A customer is on it with the latest alert: among those who may leave while its level or FADING says so, among the lost
once LOST, and gone when it is over. Both parts have those first of whom most is at stake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Any, Final, NamedTuple

from processors.days import utc_iso
from processors.events import TIME_END_MS
from processors.money import EXPONENTS, major
from streams.cli.output import Part, Row

KEPT_MAX: Final = 10_000
"""Customers kept in each part, those of most value: more than a screen will ever show, and little memory."""

REASONS_SHOWN: Final = 2
"""As many lines as a row has beside its two of figures."""

_SLACK: Final = KEPT_MAX // 4  # so many more before the least are dropped: the sort is paid once for them all
_COLUMNS: Final = (("customer", "last purchase"), ("at stake", "score"), ("level", "what happened"), ("why", ""))
_STYLES: Final[Mapping[str, str]] = {"AT_RISK": "bold red", "WATCH": "yellow", "LOST": "magenta"}
_HELD_OUT: Final = "○ "
_HEAD_LINES: Final = 3  # of a part: its title and two of columns
_ROW_LINES: Final = 2
_NOTE_LINES: Final = 2


class Alert(NamedTuple):
    """What a row shows. value_at_stake: minor units; last_purchase_at: ms."""

    value_at_stake: int
    customer_id: str
    currency: str
    level: str
    transition: str
    score: float
    last_purchase_at: int | None
    reasons: tuple[str, ...]
    holdout: bool


class Board:
    """Takes alerts as decoded, in the order of each customer's; says what a screen shows."""

    def __init__(self, kept_max: int = KEPT_MAX, slack: int = _SLACK) -> None:
        self._most = kept_max
        self._most_now = kept_max + slack
        self._leaving: dict[str, Alert] = {}
        self._lost: dict[str, Alert] = {}
        self._dropped = False
        self.alerts = 0
        self.unreadable = 0
        self.as_of: int | None = None

    def take(self, fields: Mapping[str, Any]) -> None:
        """One record of the topic: its fields, `value: None` of a null, or an `error` where it could not be read."""
        if "error" in fields:
            self.unreadable += 1
            return
        customer_id = fields["customer_id"]
        if "level" not in fields:  # a null: the customer is forgotten
            self._leaving.pop(customer_id, None)
            self._lost.pop(customer_id, None)
            return
        self.alerts += 1
        self.as_of = max(fields["at"], self.as_of or 0)
        if fields["level"] == "UNKNOWN":  # of a newer release: nobody here knows what it asks for
            return
        self._leaving.pop(customer_id, None)
        self._lost.pop(customer_id, None)
        if fields["level"] == "LOST":
            self._put(self._lost, fields)
        elif fields["level"] != "OK" or fields["transition"] == "FADING":
            self._put(self._leaving, fields)

    def parts(self, height: int) -> list[Part]:
        """What fits a screen of `height` lines: those who may leave, the lost, and a note."""
        shown = [(name, held) for name, held in (("May leave", self._leaving), ("Lost", self._lost)) if held]
        room = max(1, (height - _NOTE_LINES - len(shown) * _HEAD_LINES) // _ROW_LINES)
        lost = min(len(self._lost), max(1, room // 3, room - len(self._leaving)))
        rooms = {"May leave": max(1, room - lost), "Lost": lost}
        parts = [self._part(name, held, rooms[name]) for name, held in shown]
        return [*parts, Part(title="", columns=(), rows=(), note=self._note())]

    def _put(self, held: dict[str, Alert], fields: Mapping[str, Any]) -> None:
        held[fields["customer_id"]] = Alert(
            value_at_stake=fields["value_at_stake"],
            customer_id=fields["customer_id"],
            currency=fields["currency"],
            level=fields["level"],
            transition=fields["transition"],
            score=fields["score"],
            last_purchase_at=fields["last_purchase_at"],
            reasons=strongest(fields["reasons"]),
            holdout=fields["holdout"],
        )
        if len(held) > self._most_now:
            self._dropped = True
            kept = _first(self._most, held)
            held.clear()
            held.update((alert.customer_id, alert) for alert in kept)

    def _part(self, name: str, held: Mapping[str, Alert], room: int) -> Part:
        sums: Counter[str] = Counter()
        for alert in held.values():
            sums[alert.currency] += alert.value_at_stake
        stake = " + ".join(_money(amount, currency) for currency, amount in sums.items())
        known = "at least " if self._dropped else ""
        title = f"{name}: {known}{_number(len(held), 'customer')}, {stake} at stake"
        return Part(title=title, columns=_COLUMNS, rows=tuple(map(_row, _first(room, held))))

    def _note(self) -> str:
        said = [_number(self.alerts, "alert") if self.alerts else "no alerts yet"]
        if self.as_of is not None:
            said.append(f"the last of {_day(self.as_of)}")
        if self.unreadable:
            said.append(f"{self.unreadable:,} could not be read")
        if any(alert.holdout for held in (self._leaving, self._lost) for alert in held.values()):
            said.append(f"{_HELD_OUT}held out for comparison: leave them alone")
        return "; ".join(said)


def strongest(reasons: Iterable[Mapping[str, Any]], most: int = REASONS_SHOWN) -> tuple[str, ...]:
    """The sentences to act on: what decided beside the score (it weighs nothing there: `lost`, `fading`), then what
    speaks for leaving, strongest first; where there is neither, the first there is."""
    reasons = list(reasons)
    signals = [reason for reason in reasons if reason["code"] != "base"]
    beside = [reason["text"] for reason in signals if reason["weight"] == 0]
    telling = beside + [reason["text"] for reason in signals if reason["weight"] > 0]
    return tuple(telling[:most]) or tuple(reason["text"] for reason in reasons[:1])


def _first(most: int, held: Mapping[str, Alert]) -> list[Alert]:
    return nsmallest(most, held.values(), key=lambda alert: (-alert.value_at_stake, alert.customer_id))


def _row(alert: Alert) -> Row:
    faint = "dim" if alert.holdout else ""
    return Row(
        cells=(
            (_printable((_HELD_OUT if alert.holdout else "") + alert.customer_id), _day(alert.last_purchase_at)),
            (_money(alert.value_at_stake, alert.currency), f"{alert.score:.2f}"),
            (_words(alert.level), _words(alert.transition).lower()),
            tuple(map(_printable, alert.reasons)),
        ),
        styles=(faint, faint, faint or _STYLES.get(alert.level, ""), faint),
    )


def _money(minor: int, currency: str) -> str:
    return major(minor, currency) if currency in EXPONENTS else f"{minor} {currency}"


def _day(at: int | None) -> str:
    if at is None:
        return "never"
    return utc_iso(at)[:10] if 0 <= at < TIME_END_MS else str(at)


def _number(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _words(symbol: str) -> str:
    return symbol.replace("_", " ")


def _printable(text: str) -> str:
    """`text` on one line without what would move a terminal's cursor: ids and sentences come from outside."""
    return "".join(sign if sign.isprintable() else "·" for sign in text)
