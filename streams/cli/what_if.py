"""`loyalty what-if`: what more retention, or money moved from winning to keeping, would be worth (M4)."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from fractions import Fraction
from typing import Final

from processors.money import major
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.settings import LoyaltyError, Settings
from streams.what_if import CEILING, Effect, Unknown, base, retention_up, shift_budget

_RETENTION: Final = Fraction(5, 100)

_DETAILS = """\
Shares are written as 5%, 0.05 or 1/3. Without an option: retention up by 5%. Equity is the sum of all clv; what changes
follows from the model of R1 for each customer; docs/use/planning.md has the formulas and their sources. Nothing is
written. Money moved needs acquisition_cost in profiles and costs in the policy, or with contacts.
"""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--retention", type=_gain, metavar="SHARE", help="retention of every year up by so much of itself"
    )
    parser.add_argument(
        "--shift", type=_share, metavar="SHARE", help="so much of last year's acquisition budget into keeping"
    )
    parser.add_argument(
        "--ceiling",
        type=_share,
        default=CEILING,
        metavar="SHARE",
        help="retention that no money exceeds (default: 100%%)",
    )


def _gain(text: str) -> Fraction:
    found = _fraction(text)
    if found is None or not -1 <= found <= 10:
        raise ArgumentTypeError(f"{text!r} is no change: write 5%, 0.05 or 1/20, from -100% on")
    return found


def _share(text: str) -> Fraction:
    found = _fraction(text)
    if found is None or not 0 < found <= 1:
        raise ArgumentTypeError(f"{text!r} is no share: write 33%, 0.33 or 1/3, above 0 and at most 1")
    return found


def _fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text[:-1]) / 100 if text.endswith("%") else Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None


def _run(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    with CustomersNow(settings) as now:
        if not now.worked:
            raise LoyaltyError("no worker has been here: `loyalty worker` folds the events that customers are made of")
        with out.progress("customers") as bar:
            start = base(now, bar.advance)
    try:
        effects = []
        if args.retention is not None or args.shift is None:
            effects.append(retention_up(start, _RETENTION if args.retention is None else args.retention))
        if args.shift is not None:
            effects.append(shift_budget(start, args.shift, ceiling=args.ceiling))
    except Unknown as missing:
        raise LoyaltyError(str(missing)) from None
    for effect in effects:
        if args.json:
            out.record(effect.as_json())
        else:
            _say(out, effect)
    return OK


def _say(out: Output, told: Effect) -> None:
    currency = told.currency
    out.say(f"{told.scenario}: retention {told.retention:.1%} → {told.retention_then:.1%}")
    after = told.equity + told.difference
    out.say(
        f"customer equity {major(told.equity, currency)} → {major(after, currency)}, "
        f"{major(told.difference, currency)} in all, of {told.customers:,} customers"
    )
    if told.shift is not None:
        budget, moved, keeping, won, less, kept, lost = told.shift
        out.say(
            f"  winning {won:,} customers cost {major(budget, currency)} in the last 365 days, keeping all "
            f"{major(keeping, currency)}; {major(moved, currency)} moved"
        )
        out.say(
            f"  keeping more is worth {major(kept, currency)}; {less:,.1f} not won would have brought "
            f"{major(lost, currency)}"
        )
    rows = [
        {"tier": name, "equity": major(equity, currency), "by keeping more": major(difference, currency)}
        for name, (equity, difference) in told.by_tier.items()
    ]
    out.table(rows, right=["equity", "by keeping more"])


COMMANDS = [
    Command("what-if", "what more retention, or money moved to keeping, would be worth", _configure, _run, _DETAILS),
]
