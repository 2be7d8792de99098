"""Getting answers out: `customer`, `customers`, `summary`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from heapq import nlargest
from typing import Any, Final

from processors.days import Calendar, utc_iso
from processors.money import EXPONENTS
from processors.policy import Policy
from streams import export
from streams.cli.command import OK, Command
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.settings import LoyaltyError, Settings, UsageError
from streams.texts import wording

SHOWN: Final = 20
"""So many customers a person is shown; a program gets all."""

RISK_LEVELS = ("OK", "WATCH", "AT_RISK", "LOST")
_TIMES: Final = frozenset(
    {
        "as_of",
        "tier_since",
        "first_purchase_at",
        "last_purchase_at",
        "next_review_at",
        "last_touch_at",
        "paid_back_at",
        "club_since",
    }
)
_MONEY: Final = frozenset(
    {"value_365d", "margin_365d", "cost_to_serve_365d", "contribution_365d", "average_order", "lifetime_value", "clv",
     "value_at_stake", "network_value"}
)  # fmt: skip
_NEVER_MS: Final = 1 << 53


# ---- customer, customers


def _customer_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the customer's id")
    parser.add_argument(
        "--as-stored", action="store_true", help="the hash in Redis as it stands, of the customer's last review"
    )
    parser.add_argument("--why", action="store_true", help="for each kind of care, why there is a reminder, or none")
    parser.add_argument(
        "--export", action="store_true", help="all that is held of the person, as JSON, for their right of access"
    )


def run_customer(args: Namespace, settings: Settings) -> int:
    """One customer, as of the partition's clock."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        if args.why:
            return _run_why(args, out, now)
        if args.export:
            return _run_export(args, out, now, settings)
        seen = now.stored(args.id) if args.as_stored else now.one(args.id)
        if seen is None:
            raise LoyaltyError(_unknown(args.id, now))
        out.record(seen if args.json else _readable(seen))
    return OK


def _run_why(args: Namespace, out: Output, now: CustomersNow) -> int:
    """C10, a line for each kind of care."""
    found = now.why(args.id)
    if found is None:
        raise LoyaltyError(_unknown(args.id, now))
    if args.json:
        out.records([one._asdict() for one in found])
        return OK
    words = wording(now.policy().programme.language)
    rows = []
    for one in found:
        code = f"why_{one.state.lower()}" if one.reason is None else f"why_{one.reason}"
        when = "-" if one.at is None else utc_iso(one.at)
        rows.append({"care": one.kind, "now": one.state, "why": words.plain(code, at=when)})
    out.table(rows, empty="the policy has no care")
    return OK


def _run_export(args: Namespace, out: Output, now: CustomersNow, settings: Settings) -> int:
    """D4: what is held, and where the records lie."""
    found = now.export(args.id)
    lie = export.records(args.id, settings.kafka)
    if found is None and not lie:
        raise LoyaltyError(_unknown(args.id, now))
    told = (found or {"customer_id": args.id}) | {"records": lie}
    if args.json:
        out.record(told)
    else:
        out.say(json.dumps(told, indent=2, ensure_ascii=False))
    return OK


def _unknown(customer_id: str, now: CustomersNow) -> str:
    into = now.moved_to(customer_id)
    if into:
        return (
            f"{customer_id!r} is merged into {into!r}: `loyalty customer {into}` shows the customer, "
            f"`loyalty unmerge {customer_id}` takes it apart"
        )
    if not now.worked:
        return f"no customer {customer_id!r}: no worker has folded anything into this Redis yet; run `loyalty worker`"
    return (
        f"no customer {customer_id!r}: no event of that id was folded yet, or it was erased; ids are compared to the "
        "letter. `loyalty customers` lists who there is, `loyalty dead-letters list` what could not be used"
    )


def _customers_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--tier", metavar="T", help="only who holds this tier")
    parser.add_argument("--segment", metavar="S", help="only who is in this segment of the policy")
    parser.add_argument(
        "--as-stored", action="store_true", help="the hashes in Redis as they stand, of each customer's last review"
    )
    parser.add_argument("--risk", choices=RISK_LEVELS, metavar="L", help=f"only this level: {', '.join(RISK_LEVELS)}")


def run_customers(args: Namespace, settings: Settings) -> int:
    """All customers as of the clock, by value for people."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        policy = now.policy()
        if args.tier is not None:
            _check("tier", args.tier, [one.name for one in policy.tiers], policy)
        if args.segment is not None:
            _check("segment", args.segment, [one.name for one in policy.segments], policy)
        everyone = now.everyone_stored() if args.as_stored else now.everyone()
        wanted = (seen for seen in everyone if _wanted(seen, args))
        if args.json:
            out.records(wanted)
            return OK
        count = _Counted(wanted)
        ranked = "value_365d" if args.risk is None else "value_at_stake"
        best = nlargest(SHOWN, count, key=lambda seen: (seen[ranked] or 0, seen["customer_id"]))
        out.table([_row(seen, policy.calendar) for seen in best], empty="no customers", right=_RIGHT)
        if count.number > SHOWN:
            what = "value" if args.risk is None else "value at stake"
            out.say(f"{count.number:,} customers; the {SHOWN} of most {what} are shown, --json lists all")
        elif best:
            out.say(f"{count.number:,} customers")
    return OK


def _check(what: str, given: str, names: Sequence[str], policy: Policy) -> None:
    """Raises UsageError where the policy has no such tier or segment."""
    if given not in names:
        near = get_close_matches(given, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names) or 'none'}"
        raise UsageError(f"--{what} {given!r} is no {what} of the policy {policy.label}; {hint}")


def _wanted(seen: Mapping[str, Any], args: Namespace) -> bool:
    return (
        (args.tier is None or seen["tier"] == args.tier)
        and (args.risk is None or seen["risk_level"] == args.risk)
        and (args.segment is None or args.segment in (seen["segments"] or ()))
    )


class _Counted:
    """Counts what goes through."""

    def __init__(self, inner: Iterator[dict[str, Any]]) -> None:
        self._inner, self.number = inner, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for one in self._inner:
            self.number += 1
            yield one


_RIGHT: Final = ("value 365 d", "margin", "average order", "lifetime value", "at stake")


def _row(seen: Mapping[str, Any], calendar: Calendar) -> dict[str, Any]:
    currency = seen["currency"]
    last = seen["last_purchase_at"]
    return {
        "customer": seen["customer_id"],
        "tier": seen["tier"],
        "value 365 d": money(seen["value_365d"], currency),
        "purchases": seen["purchases_365d"],
        "average order": money(seen["average_order"], currency),
        "categories": seen["categories_365d"],
        "every (days)": seen["usual_gap_days"],
        "last purchase": None if last is None else calendar.iso_day(calendar.day_of(last)),
        "lifetime value": money(seen["lifetime_value"], currency),
        "risk": seen["risk_level"],
        "at stake": money(seen["value_at_stake"], currency),
    }


def money(minor: int | None, currency: str | None) -> str | None:
    """Minor units as people write them: 1234567 of USD is 12,345.67."""
    if minor is None:
        return None
    decimals = EXPONENTS.get(currency or "", 0)
    whole, rest = divmod(abs(minor), 10**decimals)
    return f"{'-' if minor < 0 else ''}{whole:,}" + (f".{rest:0{decimals}d}" if decimals else "")


def _readable(seen: Mapping[str, Any]) -> dict[str, Any]:
    """For people: what there is, amounts and times as one reads them."""
    shown: dict[str, Any] = {}
    for name, value in seen.items():
        if value is None or value == []:
            continue
        if name in _TIMES:
            shown[name] = "never" if value >= _NEVER_MS else utc_iso(value)
        elif name == "risk_reasons":
            shown[name] = "; ".join(f"{reason['text']} ({reason['weight']:+.2f})" for reason in value)
        elif name == "open_reminders":
            shown[name] = "; ".join(
                f"{one['kind']} {one['status']}, for {utc_iso(one['due_at'])}: {one['text']}" for one in value
            )
        elif name == "entitlements":
            shown[name] = "; ".join(_entitlement(one, seen["currency"]) for one in value)
        elif name in _MONEY:
            shown[name] = f"{money(value, seen['currency'])} {seen['currency']}"
        else:
            shown[name] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return shown


def _entitlement(one: Mapping[str, Any], currency: str | None) -> str:
    """T9: "coffee OPEN, 2 left (a coffee, 2.50 USD) until 2024-05-01T10:00:00.000Z [benefit:coffee:sale-17]"."""
    worth = f"{money(one['worth'], currency)} {currency}" if one["worth"] else None
    what = ", ".join(part for part in (one["get"], worth) if part)
    left = f", {one['left']} left" if one["left"] else ""
    owed = f", {one['owed']} used without a right" if one["owed"] else ""
    return f"{one['benefit']} {one['state']}{left}{owed} ({what}) until {utc_iso(one['expires_at'])} [{one['id']}]"


COMMANDS = [
    Command("customer", "one customer as of now", _customer_arguments, run_customer),
    Command("customers", "all customers, by tier, risk or segment", _customers_arguments, run_customers),
]
