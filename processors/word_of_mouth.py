"""W1: who brought whom. Two sides hold it, each by facts that merge like sets, and they agree once caught up.

Who was brought keeps `claims`: each referrer who named them or whom they named, at the earliest instant. The first, the
lowest (instant, referrer), is their referrer. Who brought keeps `referred`: those who count; and `refused`: those who
do not, because an earlier claim is known: another's, told by the brought one's partition, or the brought one's on them.

The lowest wins on either side, so neither order nor repeats matter. Of two who brought each other the earlier claim
holds and the later counts for nobody: who brought others was here before, and is brought by no one later either.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from processors.events import Claim, Standing, Withdrawal
from processors.history import History, Kin, Refused

CLAIMS_MAX: Final = 16
"""Claims kept of one customer, the earliest: more than one decide nothing, they only are told who won."""

Changes = dict[str, Any]


def claimed(history: History, brought: str, referrer: str, at: int) -> Changes:
    """Fields of the history of `brought` after `referrer` claims, at `at` (ms), to have brought them (W1)."""
    known = {name: since for since, name in history.claims}
    if known.get(referrer, at + 1) <= at:
        return {}
    claims = sorted((since, name) for name, since in (known | {referrer: at}).items())[:CLAIMS_MAX]
    return {"claims": tuple(claims)} | beaten(history, brought, referrer, at, referrer)


def named(history: History, referrer: str, brought: str, at: int) -> Changes:
    """Fields of the history of `referrer` after they have brought `brought`, each once, on the day first named (W1)."""
    refusal = history.refused.get(brought)
    if refusal is None:
        held = history.referred.get(brought)
        return {} if held is not None and held <= at else {"referred": _with(history.referred, brought, at)}
    if refusal.named is not None and refusal.named <= at:
        return {}
    if (refusal.at, refusal.by) < (at, referrer):
        return {"refused": _with(history.refused, brought, replace(refusal, named=at))}
    return {
        "referred": _with(history.referred, brought, at),
        "refused": {name: one for name, one in history.refused.items() if name != brought},
    }


def beaten(history: History, referrer: str, brought: str, at: int, by: str) -> Changes:
    """Fields of the history of `referrer` once it is known that `by` claims `brought` since `at` (ms); by ==
    brought: who claims to have brought the referrer: a loop (W1)."""
    since, refusal = history.referred.get(brought), history.refused.get(brought)
    if since is not None:
        if (since, referrer) < (at, by):
            return {}
        left = {name: when for name, when in history.referred.items() if name != brought}
        return {"referred": left, "refused": _with(history.refused, brought, Refused(since, at, by))}
    if refusal is not None and (refusal.at, refusal.by) <= (at, by):
        return {}
    since = None if refusal is None else refusal.named
    return {"refused": _with(history.refused, brought, Refused(since, at, by))}


def _with(held: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return dict(sorted((held | {name: value}).items()))


def learn(history: History, event: Claim | Withdrawal | Standing) -> History:
    """The history after what another's partition says; the same again changes nothing, so no id is kept."""
    if isinstance(event, Claim):
        changes = claimed(history, event.customer_id, event.referrer_id, event.occurred_at)
    elif isinstance(event, Standing):
        changes = _met(history, event)
    else:
        changes = beaten(history, event.customer_id, event.referred_customer_id, event.occurred_at, event.referrer_id)
    return replace(history, **changes) if changes else history


def _met(history: History, event: Standing) -> Changes:
    """The latest news of another counts; of one instant the last that came, for one partition sends them in turn."""
    held, kin = history.kin.get(event.other), Kin(event.occurred_at, event.level, event.clv)
    if held is not None and (held.at > kin.at or held == kin):
        return {}
    return {"kin": _with(history.kin, event.other, kin)}


def referrer_of(history: History, customer_id: str) -> str | None:
    """Who brought the customer (W1); None: nobody, or the first who claims it was brought by the customer before."""
    if not history.claims:
        return None
    at, first = history.claims[0]
    refusal = history.refused.get(first)
    since = history.referred.get(first) if refusal is None else refusal.named
    return None if since is not None and (since, customer_id) < (at, first) else first


def told_to_losers(customer_id: str, claims: tuple[tuple[int, str], ...], late: str) -> list[Withdrawal]:
    """What the others who claim the customer are told of the first claim: all of them, or `late` alone where not "".

    An id says all: the same is the same however often it is told.
    """
    at, first = claims[0]
    return [
        Withdrawal(
            event_id=f"{customer_id}:{first}:{at}",
            customer_id=name,
            occurred_at=at,
            referred_customer_id=customer_id,
            referrer_id=first,
        )
        for name in ([late] if late else [name for _, name in claims])
        if name != first
    ]
