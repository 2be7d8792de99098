"""C10: for each kind of care, why a customer has a reminder of it now, or has none; by the functions that decide."""

from __future__ import annotations

from typing import Final, NamedTuple

from processors.care.due import candidates
from processors.care.life import held_back
from processors.care.look import Look
from processors.care.people import held_out
from processors.customer import Customer
from processors.policy import Policy

OPEN, WAITING, ENDED, LATER, NOTHING, TIER = "OPEN", "WAITING", "ENDED", "LATER", "NOTHING", "TIER"
HELD_OUT: Final = "held_out"


class Why(NamedTuple):
    """state: OPEN since `at`; WAITING until `at`, held back by `reason` (consent, cap, gap, quiet; `at` None: for as
    long as they do not consent); ENDED, its cause has had a reminder, `reason` held_out: the control's, or was not
    worth one, unprofitable, small_stake or when; LATER, due at `at`; NOTHING it is about; TIER: not for theirs. Times
    ms."""

    kind: str
    state: str
    reason: str | None = None
    at: int | None = None


def why(customer: Customer, policy: Policy) -> list[Why]:
    """A line for each kind of the policy, in its order; of several causes the one that is furthest on."""
    told = customer.told
    look = Look(customer.history, told, customer.now, policy, rose=False)
    later: dict[str, int] = {}
    for one in candidates(look):
        if one.wanted_at > customer.now:
            later[one.kind] = min(one.wanted_at, later.get(one.kind, one.wanted_at))
    programme, found = policy.programme, []
    control = held_out(programme.name, customer.id, programme.holdout)
    for care in policy.care:
        opened = [one.told_at for one in told.care.open if one.kind == care.kind]
        waiting = any(one.kind == care.kind for one in told.care.waiting)
        ended = [one for one in told.care.closed if one.kind == care.kind and one.until > customer.now]
        if opened:
            found.append(Why(care.kind, OPEN, at=max(opened)))
        elif waiting:
            at, reason = held_back(care, look)
            found.append(Why(care.kind, WAITING, reason, at))
        elif care.tiers is not None and told.tier not in care.tiers:
            found.append(Why(care.kind, TIER))
        elif ended:
            last = max(ended, key=lambda one: one.until).reason
            because = last or (HELD_OUT if control and care.held_out else None)
            found.append(Why(care.kind, ENDED, because, later.get(care.kind)))
        elif care.kind in later:
            found.append(Why(care.kind, LATER, at=later[care.kind]))
        else:
            found.append(Why(care.kind, NOTHING))
    return found
