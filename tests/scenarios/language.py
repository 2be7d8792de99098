"""The scenarios' language: text to a policy, steps and questions, as plain data with the contract's names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.oracle import dates

Plain = dict[str, Any]
NUMBER = r"-?[\d.]+"


class Line(NamedTuple):
    """`place`: file and line. `word`: when or then."""

    place: str
    word: str
    text: str


class Scenario:
    """policy: the TOML text. lines: what happens and what is asked, in order."""

    def __init__(self, name: str, text: str) -> None:
        given, self.lines = [], []
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            word, _, rest = line.strip().partition(" ")
            if word == "given":
                given.append(rest)
            else:
                self.lines.append(Line(f"{name}:{number}", word, rest))
        self.policy, self.zone = policy(given)
        self._numbers = iter(range(1, 10_000))

    def time(self, text: str) -> int:
        """UTC ms. Without an offset: the programme's local time."""
        moment = dates.datetime.fromisoformat(text)
        return dates.to_ms(moment if moment.tzinfo else moment.replace(tzinfo=dates.ZoneInfo(self.zone)))

    def event(self, line: Line) -> Plain | int:
        """The event of a `when` line; the instant of a tick."""
        clock = re.fullmatch(r"the clock shows (\S+)", line.text)
        if clock:
            return self.time(clock[1])
        at, who, what = line.text.split(" ", 2)
        what, named = _cut(what, r" as (\S+)")
        for pattern, make in _EVENTS:
            found = re.fullmatch(pattern, what)
            if found:
                head = {"event_id": named or f"event-{next(self._numbers)}", "customer_id": who}
                return {**head, "occurred_at": self.time(at), **make(found)}
        raise ValueError(f"{line.place}: nobody can {what!r}; tests/scenarios/README.md says who can what")


def policy(given: list[str]) -> tuple[str, str]:
    """(the policy's TOML, its time zone)."""
    entries, tiers, rates = {}, [], []
    for line in given:
        if line.startswith("tiers "):
            tiers = [_tier(text.split()) for text in line.removeprefix("tiers ").split("|")]
        elif line.startswith("rate "):
            rates.append(line.removeprefix("rate ").replace(" ", " = "))
        else:
            entries |= dict((*one.split(" ", 1), "true")[:2] for one in line.split(", "))
    zone = entries.get("time_zone", "UTC")
    costs = ", ".join(f"{name} = {entries[name]}" for name in ("phone", "mail", "visit") if name in entries)
    text = f"""
[programme]
name = "scenario"
version = 1
currency = "USD"
time_zone = "{zone}"
[tier_rules]
grace_days = {entries.get("grace_days", 30)}
one_step_down = {entries.get("one_step_down", "false")}
[margin]
default_rate = {entries.get("margin", "0.25")}
[costs]
complaint = {entries.get("complaint", 0)}
channels = {{ {costs} }}
[currencies]
rates = {{ {", ".join(rates)} }}
"""
    return text + "\n".join(tiers), zone


def _tier(words: list[str]) -> str:
    needs = (f"{name} = {need}" for name, need in zip(words[1::2], words[2::2], strict=True))
    return "\n".join(["[[tiers]]", f'name = "{words[0]}"', *needs])


def _cut(text: str, pattern: str) -> tuple[str, str | None]:
    """`text` without the pattern at its end, and what the pattern found."""
    found = re.search(pattern + "$", text)
    return (text[: found.start()], found[1]) if found else (text, None)


def minor(amount: str) -> int:
    """Minor units of an amount with two decimals."""
    major, _, cents = amount.partition(".")
    return int(major) * 100 + int((cents + "00")[:2])


def _purchase(found: re.Match[str]) -> Plain:
    what, referrer = _cut(found[2], r" thanks to (\S+)")
    what, currency = _cut(what, r" in ([A-Z]{3})")
    lines = []
    for text in what.split(" and "):
        amount, category, *cost = text.split()
        line = {"category": category, "quantity": 1, "net_amount": minor(amount)}
        lines.append(line | ({"cost": minor(cost[1])} if cost else {}))
    return {
        "topic": "purchases",
        "kind": "SALE" if found[1] == "buys" else "RETURN",
        "currency": currency or "USD",
        "lines": lines,
        "referrer_id": referrer,
    }


def _complaint(found: re.Match[str]) -> Plain:
    return {
        "topic": "complaints",
        "complaint_id": found["case"] or "case",
        "status": "RESOLVED" if found[0].startswith("is") else "OPENED",
        "severity": 3,
        "about": "SERVICE",
        "compensation": minor(found["paid"] or "0") if "paid" in found.groupdict() else 0,
    }


def _contact(found: re.Match[str]) -> Plain:
    channel = {"called": "phone", "mailed": "mail", "visited": "visit"}[found[1]]
    cost = None if found[2] is None else minor(found[2])
    return {"topic": "contacts", "kind": "CARE", "direction": "OUT", "channel": channel, "cost": cost}


def _brings(found: re.Match[str]) -> Plain:
    return {
        "topic": "contacts",
        "kind": "REFERRAL",
        "direction": "IN",
        "channel": "store",
        "cost": 0,
        "referred_customer_id": found[1],
    }


_EVENTS = (
    (r"(buys|returns) (.+)", _purchase),
    (rf"complains(?: of (?P<case>\S+))?(?: paid (?P<paid>{NUMBER}))?", _complaint),
    (r"is content with (?P<case>\S+)", _complaint),
    (rf"is (called|mailed|visited)(?: for ({NUMBER}))?", _contact),
    (r"brings (\S+)", _brings),
    (r"signs up", lambda found: {"topic": "customers", "joined_at": 0}),
)


def listed(text: str) -> Iterator[str]:
    """The items of "a 1, b 2"."""
    yield from text.split(", ")
