"""`loyalty fit`: what the history in Kafka says of a policy's [risk] and [clv]."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import date
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processors.days import Calendar, is_day
from processors.policy import PolicyError, load_policy
from processors.signals import Signals
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.replay import Histories, last_purchase_at, read_histories
from streams.schema_ids import decode_of
from streams.settings import LoyaltyError, Settings, UsageError
from streams.texts import read_policy

if TYPE_CHECKING:
    from processors.fitting import Bin
    from streams.study.fit import Fitted, Weighed

_EPOCH = date(1970, 1, 1)
_DETAILS = """\
Reads purchases, complaints, contacts and profiles as they lie in Kafka now, folds them under the policy in
LOYALTY_POLICY, and fits by maximum likelihood: how often customers buy and leave (r, alpha, a, b; time in weeks), the
margin of a purchase day (Gamma-Gamma: p, q, v), and the weights of the score. The model is checked by fitting it to
what lay horizon_days before the end, the weights by fitting them to earlier reviews and applying them to later ones.
Nothing is changed: --write FILE gives sections to paste into the policy; raise its version then.
"""


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--model", choices=("mbg_nbd", "bg_nbd"), help="default: the policy's")
    parser.add_argument("--until", metavar="DATE", help="only events before this day of the programme, YYYY-MM-DD")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write sections of a policy ready to paste")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw predicted against happened")


def _run(args: Namespace, settings: Settings) -> int:
    out = Output.of(args)
    if args.until is not None and not is_day(args.until):
        raise UsageError(f"--until is {args.until!r}: must be a day, as 2017-12-31")
    try:
        from streams.study.fit import fit_history
        from streams.study.section import section
    except ModuleNotFoundError as error:
        raise LoyaltyError(f"{error.name} is not installed: run `make install`, which brings it") from error
    policy = read_policy(settings.policy)
    until = None if args.until is None else (date.fromisoformat(args.until) - _EPOCH).days
    until_ms = None if until is None else policy.calendar.midnight(until)
    with out.progress("records") as bar:
        found = read_histories(settings.kafka, until_ms, bar.advance, decode_of(settings))
    last = last_purchase_at(found)
    if last is None:
        raise LoyaltyError("nobody has bought: import a history first (`loyalty import`, `loyalty import-dataset`)")
    end = policy.calendar.day_of(last) if until is None else until - 1
    fitted = fit_history(found, args.model or policy.risk.model, end, policy)
    _tell(out, fitted, found)
    if args.write is not None:
        text = section(fitted, policy)
        _written(args.write, text)
        out.note(f"{args.write}: [clv], [risk] and [risk.weights], to replace those of the policy")
    if args.plot is not None:
        _plot(args.plot, fitted)
        out.note(f"{args.plot}: predicted against happened")
    return OK


def _written(path: Path, text: str) -> None:
    head = '[programme]\nname = "x"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'
    try:
        load_policy(head + text, path.name)
    except PolicyError as error:  # what we offer to paste must be a policy's; else it is a fault of ours
        raise AssertionError(f"{path}: {error}") from error
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise LoyaltyError(f"{path}: {error.strerror}; name a file that can be written") from None


def _plot(path: Path, fitted: Fitted) -> None:
    from streams.study.plots import plot_calibration

    parts: list[tuple[str, tuple[Bin, ...]]] = []
    if fitted.check is not None:
        parts.append((f"{fitted.model.model.kind}: no purchase", fitted.check.bins))
    if fitted.weighed is not None:
        parts.append(("score: left, later reviews", fitted.weighed.bins))
    if not parts:
        raise LoyaltyError(f"{path}: nothing to draw: {'; '.join(fitted.missing)}")
    try:
        plot_calibration(path, parts)
    except OSError as error:
        raise LoyaltyError(f"{path}: {error.strerror}; name a file that can be written") from None


# ---- what is said


def _tell(out: Output, fitted: Fitted, found: Histories) -> None:
    if out.as_json:
        out.record(as_json(fitted, found))
        return
    fit, spend, check = fitted.model, fitted.spend, fitted.check
    names = ("r", "alpha", "a", "b")
    values: tuple[float, ...] = (fit.model.r, fit.model.alpha, fit.model.a, fit.model.b)
    until = Calendar.iso_day(fitted.end)
    _table(out, f"{fit.model.kind}, {fit.customers:,} customers to {until}", _rows(names, values, fit.errors))
    out.say(f"log likelihood {fit.log_likelihood:,.1f}; {fit.verdict}")
    if check is not None:
        days = f"fitted before the last days, it expected {check.expected:,.0f} purchase days of {check.customers:,}"
        out.say(f"{days} customers; {check.happened:,} came. AUC of its chance of no purchase {check.auc:.3f}")
        _bins(out, check.bins, "chance of no purchase, by tenths")
    if spend.spend is not None:
        values = (spend.spend.p, spend.spend.q, spend.spend.v)
        _table(out, "Gamma-Gamma, margin of a purchase day", _rows(("p", "q", "v"), values, spend.errors))
    out.say(f"{spend.verdict}; number and margin of purchase days correlate {spend.correlation:+.3f}")
    if fitted.weighed is not None:
        _tell_weights(out, fitted.weighed)
    for words in (*fitted.missing, *_left_out(found)):
        out.say(words)


def _tell_weights(out: Output, weighed: Weighed) -> None:
    fit, earlier = weighed.weights, weighed.earlier
    rows = _rows(("intercept", *Signals._fields), (fit.intercept, *fit.weights), fit.errors)
    for row in rows:
        row["of earlier"] = dict(zip(Signals._fields, earlier.weights, strict=True)).get(row["name"], earlier.intercept)
    _table(out, "weights of the score", [row for row in rows if row["name"] not in weighed.silent])
    if weighed.silent:
        out.say(f"as they were, since the history never speaks of them: {', '.join(weighed.silent)}")
    out.say(
        f"fitted to {earlier.cases:,} earlier reviews ({earlier.happened:,} left) and applied to "
        f"{weighed.later_cases:,} later ones ({weighed.later_left:,} left): AUC {weighed.auc:.3f}, average precision "
        f"{weighed.average_precision:.3f}"
    )
    _bins(out, weighed.bins, "score, by tenths, later reviews")
    watch, at_risk = (f"{100 * share:.0f} %" for share in weighed.caught)
    out.say(f"watch {weighed.watch}: a fifth of the reviews and {watch} of those who left are above")
    out.say(f"at_risk {weighed.at_risk}: a tenth of the reviews and {at_risk} of those who left are above")


def _rows(names: tuple[str, ...], values: tuple[float, ...], errors: tuple[float, ...]) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": value, "standard error": error if isfinite(error) else None}
        for name, value, error in zip(names, values, errors, strict=True)
    ]


def _bins(out: Output, bins: tuple[Bin, ...], title: str) -> None:
    _table(out, title, [one._asdict() for one in bins])


def _table(out: Output, title: str, rows: list[dict[str, Any]]) -> None:
    """The title is a line of its own: one wider than its table would be broken."""
    out.say("")
    out.say(title)
    out.table(rows)


def _left_out(found: Histories) -> list[str]:
    counted = {"unreadable": found.unreadable, "in a currency without a rate, or too large": found.unbookable}
    return [f"left out: {count:,} records {why}" for why, count in counted.items() if count]


def as_json(fitted: Fitted, found: Histories) -> dict[str, Any]:
    """All of it, numbers that are none as null."""
    fit, spend, check, weighed = fitted.model, fitted.spend, fitted.check, fitted.weighed
    m = fit.model
    made: dict[str, Any] = {
        "until": Calendar.iso_day(fitted.end),
        "records": found.records,
        "unreadable": found.unreadable,
        "model": m.kind,
        "parameters": {"r": m.r, "alpha": m.alpha, "a": m.a, "b": m.b},
        "standard_errors": dict(zip(("r", "alpha", "a", "b"), map(_finite, fit.errors), strict=True)),
        "log_likelihood": fit.log_likelihood,
        "customers": fit.customers,
        "back": fit.back,
        "trusted": fit.trusted,
        "verdict": fit.verdict,
        "check": None if check is None else {**check._asdict(), "model": None, "bins": _plain(check.bins)},
        "spend": None if spend.spend is None else {"p": spend.spend.p, "q": spend.spend.q, "v": spend.spend.v},
        "spend_standard_errors": dict(zip(("p", "q", "v"), map(_finite, spend.errors), strict=True)),
        "spend_customers": spend.customers,
        "spend_correlation": _finite(spend.correlation),
        "spend_trusted": spend.trusted,
        "spend_verdict": spend.verdict,
        "typical_value_365d": fitted.typical_value_365d,
        "weights": None if weighed is None else _weights_json(weighed),
        "missing": list(fitted.missing),
    }
    if made["check"] is not None:
        del made["check"]["model"]
    return made


def _weights_json(weighed: Weighed) -> dict[str, Any]:
    names, fit = ("intercept", *Signals._fields), weighed.weights
    return {
        "values": dict(zip(names, (fit.intercept, *fit.weights), strict=True)),
        "standard_errors": dict(zip(names, map(_finite, fit.errors), strict=True)),
        "cases": fit.cases,
        "left": fit.happened,
        "unheard": list(weighed.silent),
        "later": {
            "cases": weighed.later_cases,
            "left": weighed.later_left,
            "auc": _finite(weighed.auc),
            "average_precision": _finite(weighed.average_precision),
            "bins": _plain(weighed.bins),
        },
        "watch": weighed.watch,
        "at_risk": weighed.at_risk,
    }


def _plain(bins: tuple[Bin, ...]) -> list[dict[str, Any]]:
    return [one._asdict() for one in bins]


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


COMMANDS = [
    Command("fit", "fit the policy's models and weights on the history in Kafka", _configure, _run, _DETAILS),
]
