"""Getting answers out: `customer`, `customers`, `summary`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from heapq import nlargest
from typing import Any, Final

from processors.days import Calendar, utc_iso
from processors.money import EXPONENTS
from processors.policy import Policy
from streams import export, summary
from streams.cli.command import OK, Command, no_arguments
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.reading import TopicReader
from streams.schema_ids import asking
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
    parser.add_argument("--risk", choices=RISK_LEVELS, metavar="L", help=f"only this level: {', '.join(RISK_LEVELS)}")


def run_customers(args: Namespace, settings: Settings) -> int:
    """All customers as of the clock, by value for people."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        policy = now.policy()
        if args.tier is not None:
            _check_tier(args.tier, policy)
        wanted = (seen for seen in now.everyone() if _wanted(seen, args))
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


def _check_tier(tier: str, policy: Policy) -> None:
    names = [one.name for one in policy.tiers]
    if tier not in names:
        near = get_close_matches(tier, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(names)}"
        raise UsageError(f"--tier {tier!r} is no tier of the policy {policy.label}; {hint}")


def _wanted(seen: Mapping[str, Any], args: Namespace) -> bool:
    return (args.tier is None or seen["tier"] == args.tier) and (args.risk is None or seen["risk_level"] == args.risk)


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


# ---- summary


_SUMMED: Final = ("customer_id", "tier", "value_365d", "risk_level", "value_at_stake", "risk_reasons")
_ASKED: Final = (*_SUMMED, "entitlements")


def run_summary(args: Namespace, settings: Settings) -> int:
    """What came of it."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        policy, clock = now.policy(), now.clock()
        counts = now.figures()
        views = [{name: seen[name] for name in _ASKED} for seen in now.everyone()]
    tiers = summary.tiers(views, [tier.name for tier in policy.tiers])
    top = summary.top_share(seen["value_365d"] for seen in views)
    risks, first = summary.risks(views, RISK_LEVELS), summary.most_at_stake(views)
    exits, mouth, care = summary.exits(counts), summary.word_of_mouth(counts), summary.care(counts)
    benefits = summary.benefits(views)
    with TopicReader(settings.kafka) as reader:
        moves = summary.moves(reader, clock, asking(settings))
        held, dead = summary.records(reader), summary.dead_letters(reader)
    if args.json:
        out.record({
            "as_of": clock,
            "policy": policy.label,
            "currency": policy.programme.currency,
            "customers": len(views),
            "value_365d": sum(seen["value_365d"] for seen in views),
            "tiers": [line._asdict() for line in tiers],
            "top_20_percent_value_share": top,
            "risk": [line._asdict() for line in risks],
            "most_at_stake": [{name: seen[name] for name in _SUMMED} for seen in first],
            "exits": exits._asdict(),
            "care": [line._asdict() for line in care],
            "benefits": [line._asdict() for line in benefits],
            "word_of_mouth": None if mouth is None else mouth._asdict(),
            "moves": {way: {"number": move.number, "latest": move.latest} for way, move in moves.items()},
            "records": held,
            "dead_letters": dead,
        })  # fmt: skip
        return OK
    if not views:
        out.say("no customers yet: `loyalty import-dataset completejourney`, then `loyalty worker --until-caught-up`")
        return OK
    _say_tiers(out, policy, clock, tiers, top)
    _say_moves(out, policy, moves)
    _say_risks(out, policy, risks, first)
    _say_exits(out, policy, exits)
    if mouth is not None:
        _say_word_of_mouth(out, mouth)
    _say_care(out, care)
    _say_benefits(out, policy, benefits)
    _say_records(out, held, dead)
    return OK


def _say_tiers(
    out: Output, policy: Policy, clock: int | None, tiers: list[summary.TierLine], top: float | None
) -> None:
    programme = policy.programme
    when = "before the first tick" if clock is None else f"at {utc_iso(clock)}"
    rows = [
        {
            "tier": line.tier,
            "customers": line.customers,
            "of all": _percent(line.customers_share),
            f"value 365 d ({programme.currency})": money(line.value_365d, programme.currency),
            "of all value": _percent(line.value_share),
        }
        for line in tiers
    ]
    rows.append({
        "tier": "all",
        "customers": sum(line.customers for line in tiers),
        "of all": None,
        f"value 365 d ({programme.currency})": money(sum(line.value_365d for line in tiers), programme.currency),
        "of all value": None,
    })  # fmt: skip
    out.say()
    out.table(
        [{name: "" if value is None else value for name, value in row.items()} for row in rows],
        title=f"Customers of {policy.label} {when}",
        right=[name for name in rows[0] if name != "tier"],
    )
    if top is not None:
        out.say(f"\nThe best 20% of the customers brought {_percent(top)} of the value of the last 365 days.")


def _say_moves(out: Output, policy: Policy, moves: Mapping[str, summary.Moves]) -> None:
    calendar = policy.calendar
    for way, verb in (("UP", "rose"), ("DOWN", "fell")):
        move = moves[way]
        latest = ", the latest:" if move.latest else ""
        out.say(f"\n{move.number:,} {verb} in the last {summary.LATELY_DAYS} days{latest}")
        for change in move.latest:
            day = calendar.iso_day(calendar.day_of(change["at"]))
            step = f"{change['from_tier']} → {change['to_tier']}"
            out.say(f"  {day}  {change['customer_id']:>6}  {step}: {change['reason']}")


def _say_risks(out: Output, policy: Policy, risks: list[summary.RiskLine], first: list[dict[str, Any]]) -> None:
    currency = policy.programme.currency
    told = ", ".join(f"{line.customers:,} {line.level}" for line in risks)
    stake = sum(line.value_at_stake for line in risks if line.level in ("WATCH", "AT_RISK"))
    out.say(
        f"\nRisk of leaving: {told}. At stake with those on watch and at risk: {money(stake, currency)} {currency}."
    )
    for seen in first:
        reasons = [reason["text"] for reason in seen["risk_reasons"] if reason["weight"] > 0][:2]
        stake = seen["value_at_stake"] or 0
        out.say(f"  {seen['customer_id']:>6}  {seen['risk_level']}, {money(stake, currency)}: {'; '.join(reasons)}")


def _say_exits(out: Output, policy: Policy, exits: summary.Exits) -> None:
    if not exits.lost:
        return
    currency = policy.programme.currency
    known = [
        f"{number:,} {what}"
        for number, what in (
            (exits.untouched, "without a contact by us in the year before"),
            (exits.complaining, "with a complaint open"),
            (exits.unpaid, "before they had paid back what winning them cost"),
        )
        if number
    ]
    of_them = f"; of them {', '.join(known)}" if known else ""
    out.say(f"\nLost so far: {exits.lost:,}{of_them}. Most of all for {_counted(exits.reasons)}.")
    for name, held in (("stores", exits.stores), ("staff in charge", exits.employees)):
        if held:
            out.say(f"  {name}: {_counted(held)}")
    tried = (
        f" {exits.attempts:,} contacts with the lost cost {money(exits.cost, currency)} {currency}."
        if exits.attempts
        else ""
    )
    stake = money(exits.won_back_value, currency)
    out.say(f"Won back: {exits.won_back:,}, with {stake} {currency} at stake.{tried}")


def _counted(held: Mapping[str, int]) -> str:
    """The first few, and how many there are beside."""
    first = [f"{name} ({count:,})" for name, count in list(held.items())[: summary.SHOWN]]
    left = sum(list(held.values())[summary.SHOWN :])
    return ", ".join([*first, *([f"other ({left:,})"] if left else [])])


def _say_care(out: Output, care: list[summary.CareLine]) -> None:
    if not care:
        return
    rows = [
        {
            "care": line.kind,
            "due": line.status.get("DUE", 0),
            "fulfilled": line.status.get("FULFILLED", 0),
            "in time": _percent(line.in_time) or "-",
            "escalated": line.status.get("ESCALATED", 0),
            "expired": line.status.get("EXPIRED", 0),
            "withdrawn": line.status.get("WITHDRAWN", 0),
            "held out": line.status.get("HELD_OUT", 0),
            "never went": _counted(line.dropped) if line.dropped else "-",
        }
        for line in care
    ]
    out.say()
    out.table(rows, title="Reminders so far")


def _say_benefits(out: Output, policy: Policy, benefits: list[summary.BenefitLine]) -> None:
    currency = policy.programme.currency
    for line in benefits:
        states = ", ".join(f"{number:,} {state}" for state, number in sorted(line.states.items()))
        owed = f", {money(line.owed, currency)} {currency} owed" if line.owed else ""
        out.say(f"Benefit {line.benefit}: {states}; can be used {line.left:,} times{owed}.")


def _say_word_of_mouth(out: Output, mouth: summary.WordOfMouth) -> None:
    part = _percent(mouth.gained_share) or "none"
    out.say(
        f"\nWord of mouth: {mouth.gained_referred:,} of {mouth.gained:,} customers ({part}) came through others, with "
        f"{mouth.sales:,} purchases; {mouth.leads:,} leads have not bought yet."
    )
    if mouth.brought_each is not None and mouth.sales_each is not None:
        out.say(f"A content referrer brought {mouth.brought_each:.2f} people and {mouth.sales_each:.2f} purchases.")
    if mouth.unhappy:
        lost = _percent(mouth.lost_share_unhappy) or "none"
        usual = "" if mouth.lost_share is None else f", of those whom content ones brought {_percent(mouth.lost_share)}"
        who = f"{mouth.unhappy:,} of {mouth.referrers:,} referrers are lost or not content"
        out.say(f"{who}: of whom they brought, {lost} are lost{usual}.")
    if mouth.refused:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in mouth.refused.items())
        out.say(f"Claims that do not count: {kinds}.")


def _say_records(out: Output, held: Mapping[str, int], dead: Mapping[str, int]) -> None:
    told = ", ".join(f"{count:,} {topic}" for topic, count in held.items() if count)
    out.say(f"\nRecords: {told}.")
    if dead:
        kinds = ", ".join(f"{count:,} {error}" for error, count in dead.items())
        out.say(f"Dead letters: {kinds}; `loyalty dead-letters list` says why.")
    else:
        out.say("Dead letters: none.")


def _percent(part: float | None) -> str | None:
    return None if part is None else f"{100 * part:.1f}%"


COMMANDS = [
    Command("customer", "one customer as of now", _customer_arguments, run_customer),
    Command("customers", "all customers, by tier or risk", _customers_arguments, run_customers),
    Command("summary", "customers by tier, value shares, who rose and fell", no_arguments, run_summary),
]
