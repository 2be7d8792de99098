"""C6: what to say or bring: an idea that fits the kind and the customer's own categories, not heard again soon."""

from __future__ import annotations

from processors.care.book import Heard
from processors.care.sections import Idea
from processors.history import History
from processors.outputs import CareReminder
from processors.policy import Policy


def fresh(kind: str, tier: str, facts: History, heard: tuple[Heard, ...], policy: Policy) -> Idea | None:
    """The idea for a reminder of `kind` (C6): of those that fit the first, in the policy's order, that the customer has
    not heard in the last `no_repeat` of the kind; those for their own categories before those for all."""
    again = {one.idea for one in heard if one.kind == kind}
    fit = [
        idea
        for idea in policy.ideas
        if kind in idea.kinds
        and idea.name not in again
        and (idea.tiers is None or tier in idea.tiers)
        and (idea.category is None or idea.category in facts.categories)
    ]
    return min(fit, key=lambda idea: idea.category is None, default=None)


def remembered(heard: tuple[Heard, ...], kind: str, idea: str, policy: Policy) -> tuple[Heard, ...]:
    """What the customer has heard, with `idea`; of each kind the last `no_repeat`."""
    most = policy.care_rules.no_repeat
    own = [one for one in heard if one.kind == kind]
    kept = [*own, Heard(kind, idea)][-most:] if most else []
    return (*(one for one in heard if one.kind != kind), *kept)


def suggestion(reminder: CareReminder, policy: Policy) -> str | None:
    """The idea of a reminder in the customer's language, else the programme's; None: there is none, or no more."""
    idea = next((one for one in policy.ideas if one.name == reminder.idea), None)
    if idea is None:
        return None
    text = idea.texts.get(reminder.language or "") or idea.texts[policy.programme.language]
    return text.format(category=idea.category or reminder.category, tier=reminder.tier, what=reminder.what)


def last_category(facts: History) -> str:
    """The category last bought; of several on that day the first by name; "": none in the last 365 days."""
    return min(facts.categories, key=lambda name: (-facts.categories[name], name), default="")
