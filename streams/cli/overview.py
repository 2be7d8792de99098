"""What came of it all: `summary`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, Final

from processors.days import utc_iso
from processors.policy import Policy
from streams import summary
from streams.cli.ask import RISK_LEVELS, money
from streams.cli.command import OK, Command, no_arguments
from streams.cli.output import Output
from streams.customers_now import CustomersNow
from streams.reading import TopicReader
from streams.schema_ids import asking
from streams.settings import Settings

_SUMMED: Final = ("customer_id", "tier", "value_365d", "risk_level", "value_at_stake", "risk_reasons")
_UNTOUCHED: Final = ("as_of", "last_touch_at", "first_purchase_at", "holdout", "staff", "open_reminders")
_ASKED: Final = (*_SUMMED, *_UNTOUCHED, "entitlements")


def run_summary(args: Namespace, settings: Settings) -> int:
    """What came of it."""
    out = Output.of(args)
    with CustomersNow(settings) as now:
        policy, clock = now.policy(), now.clock()
        counts = now.figures()
        views = [{name: seen[name] for name in _ASKED} for seen in now.everyone()]
    tiers = summary.tiers(views, [tier.name for tier in policy.tiers])
    top = summary.top_share(seen["value_365d"] for seen in views)
    promised = {tier.name: tier.care_every_days for tier in policy.tiers if tier.care_every_days is not None}
    untouched = summary.untouched(views, promised)
    segments = summary.segments(counts, [one.name for one in policy.segments])
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
            "segments": [line._asdict() for line in segments],
            "risk": [line._asdict() for line in risks],
            "most_at_stake": [{name: seen[name] for name in _SUMMED} for seen in first],
            "exits": exits._asdict(),
            "untouched": [line._asdict() for line in untouched],
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
    _say_segments(out, policy, segments)
    _say_moves(out, policy, moves)
    _say_risks(out, policy, risks, first)
    _say_exits(out, policy, exits)
    if mouth is not None:
        _say_word_of_mouth(out, mouth)
    _say_care(out, care)
    _say_untouched(out, untouched)
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


def _say_segments(out: Output, policy: Policy, lines: Sequence[summary.SegmentLine]) -> None:
    currency = policy.programme.currency
    rows = [
        {
            "segment": line.segment,
            "customers": line.customers,
            "of all": _percent(line.customers_share),
            f"value 365 d ({currency})": money(line.value_365d, currency),
            "of all value": _percent(line.value_share),
        }
        for line in lines
    ]
    if rows:
        out.say()
        table = [{name: "" if value is None else value for name, value in row.items()} for row in rows]
        out.table(table, title="Segments; a customer may be in several", right=[n for n in rows[0] if n != "segment"])


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


def _say_untouched(out: Output, untouched: list[summary.Untouched]) -> None:
    for line in untouched:
        late = f"; {line.forgotten:,} for longer, with no reminder before them" if line.forgotten else ""
        promise = f"{line.tier} is promised a touch every {line.promised_days} days"
        out.say(f"{promise}: the longest without one is {line.longest_days} days{late}.")


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
    Command("summary", "customers by tier, value shares, who rose and fell", no_arguments, run_summary),
]
