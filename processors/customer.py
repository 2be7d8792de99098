"""A customer is a fold over their own events: `apply` is pure, knows no clock, and a repeat changes nothing (D1, D3).

Amounts are booked under the policy in force when the event is folded: currency rates, margin rates and costs are part
of the fact, so that a later policy does not rewrite what a year was worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.msgpack import encode
from msgspec.structs import replace

from processors.benefits.ledger import is_benefit, noted
from processors.care.book import EMPTY, Book
from processors.charge import Charge
from processors.events import (
    Claim,
    Complaint,
    Contact,
    Dated,
    Mishap,
    Part,
    Profile,
    Purchase,
    Referral,
    Serving,
    Standing,
    Withdrawal,
)
from processors.history import (
    ComplaintState,
    History,
    Place,
    Service,
    Touch,
    content_of,
    id_hash,
    on_day,
    with_coupon,
    with_purchase_day,
    with_seen,
    with_tried,
)
from processors.merging import Held, Merge, joined, own_facts, settled
from processors.money import AMOUNT_END, TooMuch, half_even
from processors.policy import Policy
from processors.word_of_mouth import claimed, learn, named

FOREVER: Final = 253_402_300_800_000
"""10000-01-01: the `next_review` of a customer whom time alone cannot change."""


NO_DAY: Final = -2
"""Before every valid day: 1970 begins on day -1 west of Greenwich."""


class Exit(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was known when a customer was lost (X0): it does not drift afterwards, but for how it went on.

    reason: the strongest risk reason then; told: what the customer said since (X1). reasons: code to weight, all of
    them. store: of the last purchase; employee: in charge. touches: contacts by us in the 365 days before. Amounts in
    minor units, times ms.
    """

    at: int
    reason: str
    tier: str
    value_365d: int
    value_at_stake: int
    touches: int
    open_complaints: int
    paid_back: bool
    reasons: dict[str, float]
    told: str | None = None
    won_back_at: int | None = None
    store: str | None = None
    employee: str | None = None


class Told(Struct, frozen=True, array_like=True, gc=False):
    """What the world was last told. `tier_since`: ms of the last change, None if never changed. `below_since`: since
    when, without a break, the qualified tier has been below `tier` (ms). `level`: of risk, and the ms of its last
    change; `fading`: they buy less than they used to, and the ms at which that was last told or taken back.
    `paid_back_at`: when contribution had covered the acquisition cost (V2). `exit`: of the last time they were lost.
    `club_since`: member of the lifetime club, for good (T7), ms. `care`: reminders and when they went (C). `charge`:
    who is in charge (E3), where the policy bounds how long they may stay silent."""

    tier: str
    tier_since: int | None = None
    below_since: int | None = None
    level: str = "OK"
    level_since: int | None = None
    fading: bool = False
    fading_since: int | None = None
    paid_back_at: int | None = None
    exit: Exit | None = None
    club_since: int | None = None
    care: Book = EMPTY
    charge: Charge | None = None


class Counted(Struct, frozen=True, array_like=True, gc=False):
    """What the programme's figures count of a customer that a later policy could not tell again (`census`). clv: minor
    units; layer: of loyalty, by its place in `LAYERS`; held: in the control group (C8); past: programme day of the last
    purchase before the window of the last review, -2: none. segments: by name (V6); order: class of the average order,
    0: none, or not asked for. owner: who is in charge (E1)."""

    clv: int
    layer: int = 0
    held: bool = False
    past: int = -2
    segments: tuple[str, ...] = ()
    order: int = 0
    owner: str | None = None


class Customer(Struct, frozen=True, array_like=True, gc=False):
    """Facts and told. `now`: the instant of the last review, never going back; `next_review` > `now`, both ms.
    `context`: policy and shares of that review, by name. `merge`: of those alone whom a merge concerns (D5). `counted`:
    None of whom the programme's sums do not count: not committed yet, or no customer."""

    id: str
    history: History
    told: Told
    now: int
    next_review: int
    context: str
    merge: Merge | None = None
    counted: Counted | None = None

    @property
    def moved_to(self) -> str | None:
        """The id into which this one is merged: its facts count there, and it is silent (D5). "": it is silent, for
        nothing is left of it but the id."""
        return None if self.merge is None else self.merge.into

    @property
    def tier_since(self) -> int:
        """Since when the tier holds; of a tier never changed, the first event's `occurred_at`."""
        since = self.told.tier_since
        if since is None:
            since = self.now if self.history.first_at is None else self.history.first_at
        return since


def newcomer(customer_id: str, now: int, tier: str, context: str, not_before: int = -1) -> Customer:
    """An unknown customer, created by the first event at its own time `now` (D3), in the lowest tier."""
    return Customer(customer_id, History(not_before=not_before), Told(tier), now, FOREVER, context)


def apply(customer: Customer, event: Dated, policy: Policy, keep_from: int = 0) -> Customer:
    """The customer after `event`. A repeat of (kind, id) changes nothing: the first under an id wins.

    keep_from: ids of events before this instant (ms) need not be kept: they would be refused as too late.
    Raises `Unbookable`: the policy has no rate for its currency, or a sum would be too large.
    """
    if customer.merge is not None:
        return _among_parts(customer, customer.merge, event, policy, keep_from)
    history = customer.history
    fold = _FOLD.get(type(event))
    if fold is None:
        return _learned(customer, event)
    key = id_hash(event.name, event.event_id)
    if content_of(history.seen, key) is not None:
        return customer
    at = event.occurred_at
    changes = fold(history, event, policy)
    if policy.benefits or history.ledger is not None:
        changes |= noted(history, event, policy)
    changes["seen"] = with_seen(history.seen, key, at, event.content, keep_from)
    if history.first_at is None or at < history.first_at:
        changes["first_at"] = at
    folded = replace(history, **changes)
    if fold is _profile:
        return _settled(customer, folded, {})
    return Customer(customer.id, folded, customer.told, customer.now, customer.next_review, customer.context)


def _among_parts(customer: Customer, merge: Merge, event: Dated, policy: Policy, keep_from: int) -> Customer:
    """`apply` of whom a merge concerns: an event is folded into the facts that came under their own id (D5)."""
    own = own_facts(customer.history, merge)
    if isinstance(event, Part):
        parts = joined(merge.parts, event)
        return customer if parts is merge.parts else _settled(customer, own, parts)
    alone = replace(customer, history=own, merge=None)
    folded = apply(alone, event, policy, keep_from)
    return customer if folded is alone else _settled(customer, own_facts(folded.history, folded.merge), merge.parts)


def _settled(customer: Customer, own: History, parts: Mapping[str, Held]) -> Customer:
    history, merge = settled(customer.id, own, parts)
    return replace(customer, history=history, merge=merge)


def _learned(customer: Customer, event: Dated) -> Customer:
    """After what another's partition says (W1, D5); the same again changes nothing, so no id is kept."""
    if isinstance(event, Part):
        parts = joined({}, event)
        return _settled(customer, customer.history, parts) if parts else customer
    if isinstance(event, Serving):
        return _serving(customer, event)
    assert isinstance(event, Claim | Withdrawal | Standing), f"no fold for {event!r}"
    history = learn(customer.history, event)
    return customer if history is customer.history else replace(customer, history=history)


def _serving(customer: Customer, event: Serving) -> Customer:
    """An employee with how they serve now (E2): what the latest tick says counts."""
    held = customer.history.service
    if held is not None and (event.occurred_at < held.at or event.served == held.served):
        return customer
    return replace(customer, history=replace(customer.history, service=Service(event.occurred_at, event.served)))


def forgotten(event: Dated, known: bool, not_before: int) -> bool:
    """Whether an erase at `not_before` (ms, -1: none) bars the event (D4). A withdrawal bears the time of a claim that
    may be older, and says something of those alone who came back since; how another stands makes nobody known.
    known: there is such a customer. A part counts by when it was merged, and one that is gone is of nobody unknown."""
    if isinstance(event, Part):
        return not known if event.facts is None else event.since <= not_before
    if isinstance(event, Standing):
        return not known
    if isinstance(event, Withdrawal):
        return not known and not_before >= 0
    return event.occurred_at <= not_before


Changes = dict[str, Any]
"""Fields of `History` to replace."""


def _purchase(history: History, event: Purchase, policy: Policy) -> Changes:
    at, day = event.occurred_at, policy.calendar.day_of(event.occurred_at)
    value, margin = booked(event, policy)
    sale = event.kind == "SALE"
    lifetime = _bounded(history.lifetime_value + (value if sale else -value))
    if not sale:
        changes = on_day(history, day, -value, 0, 1, -margin, 0)
        changes["lifetime_value"] = lifetime
        changes["lifetime_margin"] = _bounded(history.lifetime_margin - margin)
        return changes
    changes = on_day(history, day, value, 1, 0, margin, 0)
    if event.referrer_id and event.referrer_id != event.customer_id:
        changes |= claimed(history, event.customer_id, event.referrer_id, at)
    changes["lifetime_margin"] = _bounded(history.lifetime_margin + margin)
    first, last = history.first_purchase_at, history.last_purchase_at
    changes["lifetime_value"] = lifetime
    changes["lifetime_purchases"] = history.lifetime_purchases + 1
    if first is None or at < first:
        changes["first_purchase_at"] = at
    if last is None or at >= last:
        changes["last_purchase_at"] = at
        if last != at or (event.store_id or "") > (history.last_store or ""):  # of two at one instant one, in any order
            changes["last_store"] = event.store_id
    changes["purchase_days"] = with_purchase_day(history.purchase_days, day)
    categories = _with_categories(history.categories, event, day)
    if categories is not history.categories:
        changes["categories"] = categories
    changes["tried"] = _with_tried(history, event, day)
    if event.coupon_ids and not all(map(is_benefit, event.coupon_ids)):
        changes["coupons"] = with_coupon(history.coupons, day)
    return changes


def booked(event: Purchase, policy: Policy) -> tuple[int, int]:
    """(value, margin) of a purchase in the programme's minor units, both before the sign of its kind.

    Converted and rounded half even line by line. A line without `cost` takes the policy's margin rate for its category.
    """
    value = margin = 0
    convert = None if event.currency == policy.programme.currency else policy.rates.convert
    rate_of = policy.margin.rate_of
    for line in event.lines:
        net, cost = line.net_amount, line.cost
        if convert is not None:
            net = convert(net, event.currency)
            cost = None if cost is None else convert(cost, event.currency)
        value += net
        if cost is None:
            numerator, denominator = rate_of(line.category)
            margin += half_even(net * numerator, denominator)
        else:
            margin += net - cost
    return value, margin


def _bounded(amount: int) -> int:
    if not -AMOUNT_END < amount < AMOUNT_END:
        raise TooMuch
    return amount


def _with_categories(categories: dict[str, int], event: Purchase, day: int) -> dict[str, int]:
    newer = {line.category: day for line in event.lines if categories.get(line.category, NO_DAY) < day}
    merged = categories | newer if newer else categories
    return merged if len(merged) == len(categories) else dict(sorted(merged.items()))


def _with_tried(history: History, event: Purchase, day: int) -> bytes:
    """A category last bought by `day` has been tried by then: only a new one, or a late event, is looked up."""
    known, tried = history.categories, history.tried
    for line in event.lines:
        if known.get(line.category, _NEVER) > day:
            tried = with_tried(tried, line.category, day)
    return tried


_NEVER: Final = 1 << 32


def _complaint(history: History, event: Complaint, policy: Policy) -> Changes:
    serve = event.compensation + (policy.costs.complaint if event.status == "OPENED" else 0)
    changes = _served(history, policy.calendar.day_of(event.occurred_at), serve)
    latest = ComplaintState(
        event.complaint_id, event.occurred_at, event.event_id, event.status, event.severity,
        event.about, event.satisfaction, event.store_id,
    )  # fmt: skip
    by_id = {state.complaint_id: state for state in history.complaints}
    held = by_id.get(event.complaint_id)
    opened, again = (-1, 0) if held is None else (held.opened_at, held.reopened)
    if event.status in ("OPENED", "REOPENED"):
        opened, again = max(opened, event.occurred_at), again + (event.status == "REOPENED")
    if held is not None and (held.at, held.event_id) > (latest.at, latest.event_id):
        latest = held
    settled = () if held is None else held.resolved
    if event.status == "RESOLVED":
        settled = tuple(sorted((*settled, event.occurred_at)))
    by_id[event.complaint_id] = replace(latest, opened_at=opened, reopened=again, resolved=settled)
    changes["complaints"] = tuple(by_id[name] for name in sorted(by_id))
    return changes


def contact_cost(event: Contact, policy: Policy) -> int:
    """What the contact cost, in minor units: as it says itself, else the policy's cost of its channel."""
    return policy.costs.channels.get(event.channel, 0) if event.cost is None else event.cost


def _served(history: History, day: int, cost: int) -> Changes:
    changes = on_day(history, day, 0, 0, 0, 0, cost)
    changes["lifetime_serve"] = _bounded(history.lifetime_serve + cost)
    return changes


def _with_touch(touches: tuple[Touch, ...], touch: Touch) -> tuple[Touch, ...]:
    if not touches or touches[-1].at < touch.at:
        return (*touches, touch)
    return tuple(sorted((*touches, touch), key=_touch_order))


def _touch_order(touch: Touch) -> tuple[int, int, bytes]:
    """Total, whatever is absent: equal facts lie in one order."""
    return touch.day, touch.at, encode(touch)


def _contact(history: History, event: Contact, policy: Policy) -> Changes:
    """Nobody refers oneself (W1)."""
    cost = contact_cost(event, policy)
    day, at = policy.calendar.day_of(event.occurred_at), event.occurred_at
    changes = _served(history, day, cost)
    touch = Touch(
        day, at, event.kind, event.direction, event.channel, event.score, event.item, event.reason, event.reminder_id,
        event.due_at, event.employee_id,
    )  # fmt: skip
    changes["touches"] = _with_touch(history.touches, touch)
    if event.direction == "OUT" and (history.last_touch_at is None or at > history.last_touch_at):
        changes["last_touch_at"] = at
    if event.kind == "REFERRAL" and event.referred_customer_id not in (None, event.customer_id):
        changes |= named(history, event.customer_id, event.referred_customer_id, at)
    return changes


def _referral(history: History, event: Referral, policy: Policy) -> Changes:
    return named(history, event.customer_id, event.referred_customer_id, event.occurred_at)


def _profile(history: History, event: Profile, policy: Policy) -> Changes:
    held = history.profile
    if held is None or (held.occurred_at, held.event_id) < (event.occurred_at, event.event_id):
        return {"profile": event}
    return {}


def _mishap(history: History, event: Mishap, policy: Policy) -> Changes:
    """A place with one more complaint, on the latest day on which it was opened (K5)."""
    about, _, store = event.customer_id.partition(":")[2].partition("@")
    place = history.place or Place(about, store, {})
    name, day = event.complaint, policy.calendar.day_of(event.occurred_at)
    if place.mishaps.get(name, NO_DAY) >= day:  # the latest: an earlier one leaves the window before it does
        return {}
    return {"place": replace(place, mishaps=dict(sorted((place.mishaps | {name: day}).items())))}


_FOLD: Final[dict[type, Callable[..., Changes]]] = {
    Purchase: _purchase,
    Complaint: _complaint,
    Contact: _contact,
    Referral: _referral,
    Profile: _profile,
    Mishap: _mishap,
}
