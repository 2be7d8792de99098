"""D5: the facts of several ids that are one customer, as one history.

What an id adds is added, what it knows is known: sums over days and ever, purchase days, categories, touches and
benefits are those of all events together, whichever id they came under. Nothing is taken out of anybody's own facts, so
the same facts without one of them are the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from operator import add
from typing import Any, Final

from msgspec.msgpack import encode
from msgspec.structs import replace

from processors.benefits.book import Ledger
from processors.events import Profile
from processors.history import (
    DAY_ROW,
    TRIED_BYTES,
    ComplaintState,
    History,
    Kin,
    Touch,
    unpack_days,
)
from processors.money import clamped
from processors.word_of_mouth import CLAIMS_MAX, beaten, named


def union(customer_id: str, own: History, others: Sequence[tuple[str, History]], ids: Collection[str]) -> History:
    """The facts of `own` and `others` (id, facts) as those of the one customer `customer_id`. ids: all that are theirs.

    Ids seen stay apart, for an id of an event is unique within its customer only; so does the bound of an erase.
    """
    facts = (own, *(one for _, one in others))
    last = max(facts, key=_last_sale)
    history = replace(
        own,
        first_at=_least(one.first_at for one in facts),
        days=_days(facts),
        **{name: clamped(sum(getattr(one, name) for one in facts)) for name in _SUMS},
        categories=_latest(one.categories for one in facts),
        purchase_days=_packed(sorted(set(chain.from_iterable(unpack_days(one.purchase_days) for one in facts)))),
        first_purchase_at=_least(one.first_purchase_at for one in facts),
        last_purchase_at=last.last_purchase_at,
        last_store=last.last_store,
        complaints=_complaints([("", own), *others]),
        profile=_profile([one.profile for one in facts], own.profile),
        coupons=_packed(sorted(chain.from_iterable(unpack_days(one.coupons) for one in facts))),
        tried=_tried(facts),
        touches=tuple(sorted(chain.from_iterable(one.touches for one in facts), key=_touch_order)),
        last_touch_at=max((one.last_touch_at for one in facts if one.last_touch_at is not None), default=None),
        ledger=_ledger(facts),
    )
    return replace(history, **_kin(facts, set(ids)), **_word_of_mouth(customer_id, history, facts, set(ids)))


_SUMS: Final = (
    "value", "sales", "returns", "margin", "serve", "lifetime_value", "lifetime_purchases", "lifetime_margin",
    "lifetime_serve",
)  # fmt: skip


def _least(times: Iterable[int | None]) -> int | None:
    return min((at for at in times if at is not None), default=None)


def _last_sale(one: History) -> tuple[int, str]:
    """As the fold has it: of two at one instant the greater store (V1)."""
    at = one.last_purchase_at
    return (-1 if at is None else at, one.last_store or "")


def _days(facts: Iterable[History]) -> bytes:
    found: dict[int, tuple[int, ...]] = {}
    for one in facts:
        for number, *sums in DAY_ROW.iter_unpack(one.days):
            held = found.get(number)
            found[number] = tuple(sums) if held is None else tuple(map(clamped, map(add, held, sums)))
    return b"".join(DAY_ROW.pack(number, *found[number]) for number in sorted(found))


def _packed(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(2, "little") for number in numbers)


def _latest(many: Iterable[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in many:
        for name, day in one.items():
            found[name] = max(day, found.get(name, day))
    return dict(sorted(found.items()))


def _tried(facts: Iterable[History]) -> bytes:
    found: dict[bytes, int] = {}
    for one in facts:
        for at in range(0, len(one.tried), TRIED_BYTES):
            key, day = one.tried[at : at + 4], int.from_bytes(one.tried[at + 4 : at + TRIED_BYTES], "little")
            found[key] = min(day, found.get(key, day))
    return b"".join(key + found[key].to_bytes(2, "little") for key in sorted(found))


def _touch_order(touch: Touch) -> tuple[int, int, bytes]:
    return touch.day, touch.at, encode(touch)


def _ledger(facts: Iterable[History]) -> Ledger | None:
    held = [one.ledger for one in facts if one.ledger is not None]
    if not held:
        return None
    return Ledger(
        *(tuple(sorted(chain.from_iterable(getattr(one, name) for one in held))) for name in Ledger.__struct_fields__)
    )


def _complaints(sources: Sequence[tuple[str, History]]) -> tuple[ComplaintState, ...]:
    """A complaint opened under two ids is two, and the second bears its id; one that was opened under one of them and
    went on under another, as complaints do once ids are merged, is one, and follows its records in their order."""
    opened: dict[str, list[ComplaintState]] = {}
    went_on: dict[str, list[ComplaintState]] = {}
    for source, facts in sources:
        for state in facts.complaints:
            if state.opened_at < 0:
                went_on.setdefault(state.complaint_id, []).append(state)
            else:
                held = opened.setdefault(state.complaint_id, [])
                held.append(replace(state, complaint_id=f"{state.complaint_id}@{source}") if held else state)
    for name, states in went_on.items():
        held = opened.setdefault(name, [])
        first, *rest = (held.pop(0), *states) if held else states
        for state in rest:
            first = _together(first, state)
        held.insert(0, first)
    return tuple(sorted(chain.from_iterable(opened.values()), key=lambda state: state.complaint_id))


def _together(one: ComplaintState, other: ComplaintState) -> ComplaintState:
    latest = max(one, other, key=lambda state: (state.at, state.event_id))
    return replace(latest, opened_at=max(one.opened_at, other.opened_at), reopened=one.reopened + other.reopened)


def _profile(profiles: Sequence[Profile | None], own: Profile | None) -> Profile | None:
    """The customer's own, else the latest of the others. What any of them forbids is forbidden; what they cost to win
    is summed."""
    known = [one for one in profiles if one is not None]
    if not known:
        return None
    leading = own or max(known, key=lambda one: (one.occurred_at, one.event_id))
    consent: dict[str, bool] = {}
    for one in known:
        for channel, given in one.consent.items():
            consent[channel] = given and consent.get(channel, True)
    return replace(
        leading,
        consent=dict(sorted(consent.items())),
        do_not_contact=any(one.do_not_contact for one in known),
        key_account=any(one.key_account for one in known),
        acquisition_cost=clamped(sum(one.acquisition_cost for one in known)),
        joined_at=min(one.joined_at for one in known),
    )


def _kin(facts: Iterable[History], ids: set[str]) -> dict[str, Any]:
    found: dict[str, Kin] = {}
    for one in facts:
        for name, kin in one.kin.items():
            if name not in ids and (name not in found or found[name].at < kin.at):
                found[name] = kin
    return {"kin": dict(sorted(found.items()))}


def _word_of_mouth(customer_id: str, history: History, facts: Iterable[History], ids: set[str]) -> dict[str, Any]:
    """Who brought them and whom they brought (W1); among the ids of one customer nobody brought anybody."""
    facts = tuple(facts)
    if not any(one.claims or one.referred or one.refused for one in facts):
        return {}
    since = [(name, at) for one in facts for at, name in one.claims if name not in ids]
    claims = sorted((at, name) for name, at in _earliest(since).items())[:CLAIMS_MAX]
    brought = [(name, at) for one in facts for name, at in one.referred.items() if name not in ids]
    found = replace(history, claims=tuple(claims), referred=_earliest(brought), refused={})
    for at, referrer in claims:
        found = _after(found, beaten, customer_id, referrer, at, referrer)
    for one in facts:
        for name, refusal in one.refused.items():
            if name in ids:
                continue
            if refusal.named is not None:
                found = _after(found, named, customer_id, name, refusal.named)
            if refusal.by not in ids:
                found = _after(found, beaten, customer_id, name, refusal.at, refusal.by)
    return {"claims": found.claims, "referred": found.referred, "refused": found.refused}


def _earliest(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, at in pairs:
        found[name] = min(at, found.get(name, at))
    return dict(sorted(found.items()))


def _after(history: History, rule: Callable[..., dict[str, Any]], *what: str | int) -> History:
    changes = rule(history, *what)
    return replace(history, **changes) if changes else history
