"""Writes docs/rules.md: the rules with the policy's numbers, in the words of the docstrings of what decides them.

    python -m tests.rulebook > docs/rules.md

A docstring belongs to a rule when it names the rule's id: "(T1)", "(T2, T3)", "(T1-T3)"; in a module's docstring, the
sentences that begin with the id: "T2 down after …". `tests/test_rulebook.py` holds the page current.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from processors.money import Rate, major
from processors.policy import Policy, load_policy
from processors.sections import CONDITIONS, GRADE_CONDITIONS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "rules.md"
POLICY = ROOT / "infra" / "policy.toml"
FOLDERS = ("processors", "schemas", "streams")

HEAD = """\
# The rules

Written from `infra/policy.toml` and the docstrings of the functions that decide, by `python -m tests.rulebook`; a test
holds it current. A *day* is a calendar day in the programme's time zone. Amounts are integers in minor units (cents).
"""

RULES = {
    "V1": (
        "Rolling figures",
        "Value, margin, cost to serve, contribution, purchases, returns, categories and referrals of the last 365 days,"
        " today's included: exact to the minor unit, for late, repeated and unordered events.",
    ),
    "V2": (
        "Break-even",
        "When lifetime contribution has covered what it cost to win the customer, the day is kept: `paid_back_at`.",
    ),
    "V3": (
        "Lifetime value",
        "`clv`: expected purchases x expected margin less the cost to serve over the policy's horizon; `clv_basis` says"
        " whether a fitted model or the plain formula gave it.",
    ),
    "V4": ("Customer equity", "The sum of all customers' `clv`, each as of its own last review, by tier and in all."),
    "V5": (
        "Who brings it",
        "The share of the year's value that the top 1, 5, 10, 20 and 50% of the customers bring, and the value at each,"
        " within 1% of the exact ranking.",
    ),
    "V7": (
        "Three capitals",
        "`capital_brand`, `capital_value`, `capital_relation`: 0 to 100 by rank among all customers, worked out when"
        " somebody reads: what they do for our name, what they are expected to bring, how close they are.",
    ),
    "V8": (
        "What will be bought",
        "Expected purchases and amounts of the next days, by store and category; contribution a customer; the share of"
        " sales by those who came back.",
    ),
    "T1": ("Up at once", "The tier is the highest one all of whose conditions hold, from the moment they do."),
    "T2": (
        "Down after a grace",
        "Who has been below without a break for the days of grace goes down, at the same local time; a day back at or"
        " above begins the grace anew. A late event changes the future, never what was told.",
    ),
    "T3": ("One step down", "Where the policy says so, a grace costs one tier at most, and a new grace begins there."),
    "T4": (
        "Every change says why",
        "The condition that decided with have and need, until when the tier is kept by itself, and what the next asks.",
    ),
    "T5": ("Benefits", "A tier's benefits are in the policy, in the customer's view and in the change event."),
    "T6": (
        "A tier at risk",
        "When time alone will end the tier within the kind's `lead_days`, its customer is to be told, once, what keeps"
        " it.",
    ),
    "T7": (
        "Lifetime club",
        "Who has ever brought, or bought, enough, or has stayed long enough, has a floor tier for good: returns,"
        " complaints and silence take nothing away.",
    ),
    "T9": (
        "Benefits as entitlements",
        "Earned by a tier or by buying, used, expired, taken back with the sale: a return never leaves a gain, nor"
        " takes the same thing twice. What was used without a right is owed, and shown.",
    ),
    "L1": ("Five signs", "Of loyalty: repeats, speaks up, varied, recommends, steadfast."),
    "L2": (
        "The layer",
        "NONE, HABIT, PREFERENCE or LOYAL by the signs that hold; the view says which, and the one step that would"
        " raise it.",
    ),
    "L3": ("Felt beside done", "What surveys say is kept beside what is done, and decides no layer."),
    "R1": ("What purchase days let expect", "The chance of being there, and expected purchases, by a fitted model."),
    "R2": (
        "The score",
        "A logistic of few named signals; each reason has its weight, and the weights add up to the score.",
    ),
    "R3": (
        "Levels",
        "OK, WATCH, AT_RISK by the score with hysteresis, LOST by silence beyond the own rhythm; at most one alert a"
        " day.",
    ),
    "R4": ("What is at stake", "Alerts are ranked by what leaving would lose."),
    "R6": ("Fading", "Who buys clearly less than they used to is told apart from who leaves."),
    "W1": (
        "One referrer each",
        "A referred customer counts once, for the first who named them or whom they named; self-referrals, loops and"
        " second claims are refused and counted.",
    ),
    "W2": (
        "Network value",
        "`network_value`: the own `clv` and the policy's share of the `clv` of those brought, one level deep.",
    ),
    "W3": (
        "A lost or unhappy referrer",
        "Who was brought by a customer who is lost or not content is nearer to leaving, by the policy's weight.",
    ),
    "W4": ("What word of mouth brings", "Customers who came through others, leads and purchases they brought."),
    "X0": ("Exits are frozen", "What was known at the moment of LOST is kept and does not drift."),
    "X1": (
        "Every exit has a reason",
        "The one told, else the strongest of the risk; counted by reason, tier, store, employee.",
    ),
    "X2": ("Win-back", "Attempts, their cost, successes and the value won back are counted."),
    "K0": (
        "A promise is one thing",
        "A reply, a follow-up, an answer, or whatever else was agreed by a time: due, with an inner target before it"
        " and an owner, and it ends kept, late or broken: counted by kind, store and employee.",
    ),
    "K1": (
        "A complaint is owed a reply",
        "By severity, in half the time for whom others listen to; past it the next level hears of it, up to the last.",
    ),
    "K2": (
        "After the remedy",
        "Some days after a complaint is settled somebody asks whether it is well; opened again it counts one severity"
        " more.",
    ),
    "K3": ("The same again", "A second complaint about the same thing within the policy's days counts one more."),
    "K4": (
        "Complaints as figures",
        "Open, resolved, recovered, hours to reply and to resolve, by what they are about, by store and severity.",
    ),
    "K5": (
        "From complaint to cause",
        "Complaints about one thing at one store above the policy's rate open an action, for somebody and by a time; it"
        " closes only when the rate has fallen, and opens again when it rises.",
    ),
    "C1": (
        "Kinds of care",
        "A kind is an entry of the policy of one of eight shapes: calendar, festival, silence, rhythm, event, level,"
        " promise, rate.",
    ),
    "C2": (
        "When a reminder may go",
        "Consent by channel, the cap of 30 days, the gap between two, quiet hours in the customer's time: what may not"
        " go now waits for the first instant it may, and is dropped and counted where its time is over first. A reply"
        " to a complaint obeys consent only.",
    ),
    "C3": ("Who comes first", "Of several that wait the lowest number of `priority` takes the slot."),
    "C4": (
        "Life of a reminder",
        "DUE, then FULFILLED, WITHDRAWN or EXPIRED, and ESCALATED in between: each step once.",
    ),
    "C5": (
        "Nobody important is forgotten",
        "Who has a tier with `care_every_days` has a touch by us behind them within it, or a reminder before them.",
    ),
    "C6": (
        "What to say",
        "A suggestion is an entry of the policy, in the customer's language; it fits their categories and was not heard"
        " with the last `no_repeat` reminders of its kind.",
    ),
    "C7": (
        "Who does it",
        "Whoever is in charge of the customer, else somebody of the roster: by skill, store and load, evenly, the same"
        " each time; when somebody joins or leaves, only theirs move.",
    ),
    "C8": (
        "The control group",
        "A fixed, hashed share of customers gets no proactive care; what they would have got is told as HELD_OUT.",
    ),
    "C9": ("Others count too", "Campaigns that others sent count against the caps."),
    "C10": (
        "Why, and why not",
        "For each customer and kind why there is a reminder, or none: `customer ID --why`. For any output the rule, the"
        " numbers, the policy and the records behind it: `explain EVENT_ID`.",
    ),
    "E1": (
        "Those in charge",
        "Customers in charge, their retention and renewal, value and equity kept, reminders in time, promises,"
        " satisfaction with remedies; ranked only above a least number of customers.",
    ),
    "E2": (
        "Grades of those who serve",
        "`[[grades]]`, won and lost by the code that decides tiers, from the figures of E1 as a tick a day carries them"
        " to all partitions; each change once, on `employee-grades`.",
    ),
    "E3": (
        "Customers inside",
        "Who serves is cared for by the same code and in no figure of customers. Whom their employee leaves alone goes"
        " back to the pool, with a warning first.",
    ),
    "M1": (
        "Who came, stayed and went",
        "New, active, lost and won back; retention, churn and repeat purchases over the rolling year; cohorts by month"
        " of joining.",
    ),
    "M2": ("Winning and keeping", "What winning one customer cost, what keeping one costs a year, and their ratio."),
    "M3": (
        "What care is worth",
        "Retention and contribution of those cared for against the control group, with a 95% interval; too early to"
        " tell while it covers zero.",
    ),
    "M4": (
        "What if",
        "`policy diff FILE` reviews every customer under another policy and says who moves, to where, and what it would"
        " have done; `what-if` says what more retention, or money moved into keeping, does to the sum of all `clv`."
        " Nothing is written.",
    ),
    "M5": ("Own constants", "What the textbook teaches, as it is in this programme, with its interval."),
    "M6": (
        "Where it comes from",
        "By store; care against value by decile; churn weighted by value; value of those who prefer us; break-even.",
    ),
    "D1": (
        "No order and no repeat matters",
        "Facts, and all figures from facts alone, are the same in any order and with repeats. What is told is the same"
        " for every batch and tick while each customer's events come in order of time.",
    ),
    "D2": (
        "Returns",
        "A return takes back value and margin on its own day and counts in `returns_365d`; the sale stays a purchase.",
    ),
    "D3": ("Newcomers", "An unknown customer is created by their first event; the profile may come later."),
    "D4": (
        "Forgetting",
        "An erase removes all that is held of a customer, with the ids merged into them; what happened up to it stays"
        " away, in a rebuild too. `customer ID --export` gives a person all that is held.",
    ),
    "D5": (
        "Ids that are one customer",
        "`merged_into` of a profile lets one id's history count for another's, across partitions, and taken back it"
        " comes apart again; nothing is counted twice or lost. A merge into oneself or in a circle is refused.",
    ),
    "D6": (
        "What cannot be used",
        "A record that breaks the contract goes to `dead-letters` with the reason and its original bytes, one that came"
        " to the wrong partition to the right one; the stream goes on.",
    ),
    "D8": (
        "Prospects, and the funnel",
        "Who has asked something in the last 365 days and never bought is a prospect. Of who came in them: by an"
        " inquiry, through another customer or directly, and how far they got.",
    ),
    "D7": (
        "Producers see how they do",
        "For each store and channel what came, late, twice, unusable, misplaced, with a wrong clock, under which"
        " schema: `producers`. `validate` says of a file what a worker would, before it is sent.",
    ),
}

WIDE = 4
"""A docstring that names more rules than this tells of a family, and nothing of one."""

_ID = re.compile(r"\b([A-Z])(\d{1,2})(?:-\1?(\d{1,2}))?\b")


class Words(NamedTuple):
    """What a docstring says of a rule. `where`: file and name."""

    where: str
    text: str


def page(policy: Policy, root: Path = ROOT) -> str:
    """The whole page."""
    said = list(docstrings(root))
    parts = [HEAD, *programme(policy)]
    for rule, (title, text) in RULES.items():
        parts.append(f"## {rule} {title}\n\n{text}\n")
        numbers = list(NUMBERS[rule](policy)) if rule in NUMBERS else []
        if numbers:
            parts.append("\n".join(f"- {line}" for line in numbers) + "\n")
        deciders = [words for names, words in said if rule in names and len(names) <= WIDE]
        if deciders:
            parts.append(
                "In the code:\n\n" + "\n".join(f"- `{words.where}`: {words.text}" for words in deciders) + "\n"
            )
    return "\n".join(parts)


def docstrings(root: Path) -> Iterator[tuple[frozenset[str], Words]]:
    """Every docstring that names a rule, with the ids of the rules it names, by file and line."""
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.py")):
            where = file.relative_to(root).as_posix()
            tree = ast.parse(file.read_text("utf-8"))
            first = " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split())
            if _tags(first):
                yield _tags(first), Words(where, first)
            for sentence in _sentences(ast.get_docstring(tree) or ""):
                yield ids(sentence.split(" ", 1)[0]), Words(where, sentence)
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
                    if _tags(text):
                        yield _tags(text), Words(f"{where} {node.name}", text)


def _tags(text: str) -> frozenset[str]:
    """The rules that a text names in brackets."""
    return frozenset(name for inner in re.findall(r"\(([^()]*)\)", text) for name in ids(inner))


def ids(text: str) -> frozenset[str]:
    """The rules that a text names: "T1-T3" names three."""
    found: set[str] = set()
    for family, first, last in _ID.findall(text):
        found.update(f"{family}{number}" for number in range(int(first), int(last or first) + 1))
    return frozenset(found)


def programme(policy: Policy) -> Iterator[str]:
    """The tiers as a table."""
    currency = policy.programme.currency
    yield f"## The programme: {policy.label}\n"
    yield f"Currency {currency}, days in {policy.programme.time_zone}.\n"
    rows = ["| tier | needs, all of it | benefits |", "|---|---|---|"]
    for tier in policy.tiers:
        needs = "<br>".join(f"{_condition(name)} {_need(name, need, currency)}" for name, need in tier.conditions)
        rows.append(f"| {tier.name} | {needs or 'nothing'} | {', '.join(tier.benefits) or '–'} |")
    yield "\n".join(rows) + "\n"


def _value_numbers(policy: Policy) -> Iterator[str]:
    currency = policy.programme.currency
    rates = "".join(f", `{name}` {_percent(rate)}" for name, rate in policy.margin.rates.items())
    yield f"`[margin]` for a line without `cost`: {_percent(policy.margin.default_rate)}{rates}; by line, half even"
    costs = "".join(f", {name} {major(cost, currency)}" for name, cost in policy.costs.channels.items())
    yield f"`[costs]` a complaint opened {major(policy.costs.complaint, currency)}{costs}, plus compensation paid"
    for code, rate in policy.currencies.rates.items():
        yield f"`[currencies]` 1 {code} is {rate} {currency}, by line, half even"


def _down_numbers(policy: Policy) -> Iterator[str]:
    yield f"`[tier_rules] grace_days` = {policy.tier_rules.grace_days}"


def _step_numbers(policy: Policy) -> Iterator[str]:
    yield f"`[tier_rules] one_step_down` = {str(policy.tier_rules.one_step_down).lower()}"


def _condition_numbers(policy: Policy) -> Iterator[str]:
    yield "Conditions there are: " + ", ".join(f"`{name}`" for name in CONDITIONS)


def _worth_numbers(policy: Policy) -> Iterator[str]:
    clv = policy.clv
    yield f"`[clv] horizon_days` = {clv.horizon_days}, `discount_rate` = {_percent(clv.discount_rate)} a year"
    yield "`[clv] spend`: " + ("not fitted, so the plain formula counts" if clv.spend is None else "fitted")


def _sign_numbers(policy: Policy) -> Iterator[str]:
    for name in policy.loyalty.__struct_fields__:
        rule = getattr(policy.loyalty, name)
        if isinstance(rule, bool):  # whether signs are looked at at all
            continue
        yield f"`[loyalty] {name}`: " + ", ".join(f"{key} {getattr(rule, key)}" for key in rule.__struct_fields__)


def _score_numbers(policy: Policy) -> Iterator[str]:
    weights = policy.risk.weights
    told = (f"{name} {getattr(weights, name)}" for name in weights.__struct_fields__ if getattr(weights, name))
    yield "`[risk.weights]` " + ", ".join(told)


def _level_numbers(policy: Policy) -> Iterator[str]:
    risk, lost = policy.risk, policy.risk.lost
    yield f"`[risk]` watch {risk.watch}, at_risk {risk.at_risk}, left downwards {risk.ease} below"
    yield f"`[risk] lost`: silent for {lost.gaps} usual gaps, {lost.least_days} to {lost.most_days} days"


def _fading_numbers(policy: Policy) -> Iterator[str]:
    yield f"`[risk] fading` = {policy.risk.fading}: the share of the own expectation that the last 90 days lack"


def _benefit_numbers(policy: Policy) -> Iterator[str]:
    currency = policy.programme.currency
    for one in policy.benefits:
        worth = None if one.worth is None else f"{major(one.worth, currency)} off"
        what = ", ".join(part for part in (one.get, worth) if part)
        if one.buy is None:
            how = f"{one.uses} a calendar year for {', '.join(one.tiers or ())}"
        else:
            of = "of all" if one.buy.category is None else f"of `{one.buy.category}`"
            full = f"{one.buy.quantity} pieces" if one.buy.amount is None else major(one.buy.amount, currency)
            how = f"{one.uses} for each full {full} {of} in one sale, within {one.expires_days} days"
        yield f"`[[benefits]]` {one.name}: {what}; {how}"


def _grade_numbers(policy: Policy) -> Iterator[str]:
    for grade in policy.grades:
        asked = [(name, getattr(grade, name)) for name in GRADE_CONDITIONS]
        needs = [
            f"{_condition(name)} {_percent(need) if name in ('min_retention', 'min_in_time') else need}"
            for name, need in asked
            if need is not None
        ]
        yield f"`[[grades]]` {grade.name}: {', '.join(needs) or 'where everybody begins'}"


NUMBERS = {
    "E2": _grade_numbers,
    "V1": _value_numbers,
    "V3": _worth_numbers,
    "T1": _condition_numbers,
    "T2": _down_numbers,
    "T3": _step_numbers,
    "T9": _benefit_numbers,
    "L1": _sign_numbers,
    "R2": _score_numbers,
    "R3": _level_numbers,
    "R6": _fading_numbers,
}


def _sentences(text: str) -> Iterator[str]:
    """The parts of a module's docstring that begin with a rule's id: "T1 up at once, …", "D2: a return …"."""
    for paragraph in text.split("\n\n"):
        flat = " ".join(paragraph.split())
        for part in re.split(r"(?:(?<=[.;]) |^)(?=[A-Z]\d{1,2}(?:-[A-Z]?\d{1,2})?:? [^,)])", flat):
            if re.match(r"[A-Z]\d", part):
                yield part


def _condition(name: str) -> str:
    return name.removeprefix("min_").replace("_365d", "").replace("_", " ")


def _need(name: str, need: int | str, currency: str) -> str:
    if isinstance(need, str):
        return f"among the top {_percent(Rate.of(need))}"
    return (
        major(need, currency) if name in ("min_value_365d", "min_margin_365d", "min_contribution_365d") else str(need)
    )


def _percent(rate: Rate) -> str:
    return f"{Rate.of(rate.fraction * 100)}%"


if __name__ == "__main__":
    sys.stdout.write(page(load_policy(POLICY.read_text("utf-8"))))
