"""From a code and its numbers to a sentence. Rules emit codes; a language is a TOML text that is handed in.

`texts/<language>.toml` has the tables `reason`, `missing` (by a tier's condition), `risk` (by a signal of the score),
`care` (by a kind of care, else by its shape) and `plain` (by any other code). A sentence of `risk` or `care` may ask
for a number with its noun, `{have:day|days}`: "1 day", "31 days". A policy may bring its own sentence for
a kind of care.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from string import Formatter

from processors.care.sections import TEXT_NUMBERS, Care
from processors.money import major
from processors.outputs import CareReminder, Reason
from processors.policy import Policy
from processors.templates import faults

_MONEY = frozenset({"min_value_365d", "min_margin_365d", "min_contribution_365d", "min_value_share_rank", "club_value"})
_SHARES = frozenset({"min_retention", "min_in_time"})
_TABLES = ("reason", "missing", "risk", "care", "plain")
_WHOLE_FROM = 9.95  # shown with one decimal it would be 10
_MORE, _ALONE, _GOOD = "_more", "_alone", "_good"


class Wording:
    """The sentences of one language. ValueError for a text that is no such table."""

    def __init__(self, text: str, language: str) -> None:
        self.language = language
        try:
            self._tables: Mapping[str, Mapping[str, str]] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"texts/{language}.toml: is no TOML: {error}") from None
        for table in _TABLES:
            if not isinstance(self._tables.get(table), dict):
                raise ValueError(f"texts/{language}.toml: [{table}] is missing; en.toml shows what there must be")

    def tier_reason(self, direction: str, tier_needed: str, code: str, have: int, need: int, currency: str) -> str:
        """Why a tier was won (UP: the condition met) or lost (DOWN: the one missed), in one sentence.

        `tier_needed`: the tier whose condition `code` is. Amounts in minor units of `currency`.
        """
        assert direction in ("UP", "DOWN"), direction
        return self._say(
            "reason", code, tier=tier_needed, have=_shown(code, have, currency), need=_shown(code, need, currency)
        )

    def grade_reason(self, grade: str, code: str, have: float | None, need: float | None) -> str:
        """Why an employee's grade was won or lost, in one sentence. `grade`: the one whose condition `code` is; None:
        nothing to measure by."""
        return self._say("reason", code, tier=grade, have=self._measured(code, have), need=self._measured(code, need))

    def _measured(self, code: str, number: float | None) -> str:
        if number is None:
            return self.plain("nothing_yet")
        if code in _SHARES:
            return f"{_decimals(100 * number)}%"
        return _decimals(number)

    def to_next(self, tier: str, code: str, have: int, need: int, currency: str) -> str | None:
        """What is still missing for `tier` by its condition `code`; None where it holds already."""
        if have >= need:
            return None
        return self._say("missing", code, tier=tier, missing=_shown(code, need - have, currency))

    def risk_reason(self, reason: Reason) -> str:
        """Why a customer may leave, or may not, in one sentence.

        A signal may have more than one sentence: `<code>_more` where `have` is below zero, which then takes it without
        its sign (less than nothing less is more); `<code>_alone` where there is no `usual` to compare with (zero);
        `<code>_good` where the weight is below zero.
        """
        table, code, have = self._tables["risk"], reason.code, reason.have
        if have < 0 and code + _MORE in table:
            code, have = code + _MORE, -have
        elif reason.usual <= 0 and code + _ALONE in table:
            code += _ALONE
        elif reason.weight < 0 and code + _GOOD in table:
            code += _GOOD
        return self._say("risk", code, have=_Number(have), usual=_Number(reason.usual))

    def care(self, reminder: CareReminder, policy: Policy) -> str:
        """What to do for a customer, in one sentence, see `care_of`."""
        one = reminder
        return self.care_of(one.kind, one.have, one.usual, one.what, one.tier, one.day, policy)

    def care_of(self, kind: str, have: float, usual: float, what: str, tier: str, date: str, policy: Policy) -> str:
        """What to do for a customer, in one sentence: the policy's own of the kind, else the language's, else that of
        its shape (C1). date: their day it is for.

        `what` of a tier that will fall is `tier:condition`: the sentence then says what would keep it (T6).
        """
        step: str | None = ""
        falls, _, condition = what.rpartition(":")
        if falls and condition == "policy":
            what = falls
        elif falls and condition in self._tables["missing"]:
            what, step = falls, self.to_next(falls, condition, int(have), int(usual), policy.programme.currency)
        return self._care_sentence(kind, policy).format(
            have=_Number(have), usual=_Number(usual), what=what, tier=tier, step=step or "", date=date
        )

    def _care_sentence(self, kind: str, policy: Policy) -> str:
        care = next((one for one in policy.care if one.kind == kind), None)
        own = None if care is None else care.texts.get(policy.programme.language)
        return own or self._sentence("care", self._care_code(kind, "promise" if care is None else care.shape))

    def care_faults(self, care: Care) -> Iterator[str]:
        """What is wrong with the sentence of a kind of care: there is none, or it names what the kind is not given."""
        file, sentence = f"texts/{self.language}.toml", self._tables["care"].get(self._care_code(care.kind, care.shape))
        if sentence is None:
            yield f'{file} has no sentence for it, nor for its shape "{care.shape}"'
            return
        for fault in faults(sentence, care.text_fields, TEXT_NUMBERS):
            yield f"its sentence in {file} {fault}"

    def _care_code(self, kind: str, shape: str) -> str:
        return kind if kind in self._tables["care"] else shape

    def plain(self, code: str, **numbers: object) -> str:
        """The sentence of any other code."""
        return self._say("plain", code, **numbers)

    def forms(self) -> dict[str, frozenset[str]]:
        """Every sentence (`table.code`) with the names of what it takes: the same in every language, a test holds."""
        return {
            f"{table}.{code}": frozenset(name for _, name, _, _ in Formatter().parse(sentence) if name)
            for table in _TABLES
            for code, sentence in self._tables[table].items()
        }

    def _say(self, table: str, code: str, **values: object) -> str:
        return self._sentence(table, code).format(**values)

    def _sentence(self, table: str, code: str) -> str:
        sentence = self._tables[table].get(code)
        if sentence is None:
            raise KeyError(f"texts/{self.language}.toml: [{table}] has no {code}")
        return sentence


def _decimals(number: float) -> str:
    """Up to two decimals, as many as it has."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _shown(code: str, number: int, currency: str) -> str:
    return major(number, currency) if code in _MONEY else str(number)


class _Number(float):
    """A number for people: one decimal below ten where it has one, whole from there. With "day|days": and its noun."""

    def __format__(self, nouns: str) -> str:
        shown = f"{float(self):.1f}".removesuffix(".0") if abs(self) < _WHOLE_FROM else str(round(self))
        shown = "0" if shown == "-0" else shown
        one, _, many = nouns.partition("|")
        return f"{shown} {one if shown == '1' else many}" if nouns else shown
