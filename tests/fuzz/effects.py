"""What a fold must have added to a customer, from the fields as fastavro reads them; every sum is worked out anew."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from msgspec import to_builtins

from processors.customer import Customer
from processors.history import History
from processors.merging import own_facts
from processors.policy import Policy
from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, PURCHASES

LIMIT = 2**63
RATES = {"USD": Fraction(1), "EUR": Fraction(108, 100)}
"""What the policies of the tests take: worth of one minor unit in the programme's."""
_COMPLAINT_COST, _CHANNELS = 500, {"mail": 60}

NAMES = {PURCHASES: "Purchase", COMPLAINTS: "Complaint", CONTACTS: "Contact", CUSTOMERS: "Customer"}
"""By topic the name of its events in counters."""


def facts(customer: Customer | None) -> History:
    """What came under the customer's own id."""
    return History() if customer is None else own_facts(customer.history, customer.merge)


def _rounded(number: Fraction) -> int:
    whole = number.numerator // number.denominator
    rest = number - whole
    return whole + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1))


def worth(fields: Mapping[str, Any], policy: Policy) -> tuple[int, int]:
    """(value, margin) that a purchase adds: below 0 for what came back."""
    rate, value, margin = RATES[fields["currency"]], 0, 0
    for line in fields["lines"]:
        net = _rounded(line["net_amount"] * rate)
        value += net
        if line["cost"] is None:
            margin += _rounded(net * Fraction(*policy.margin.rate_of(line["category"])))
        else:
            margin += net - _rounded(line["cost"] * rate)
    return (value, margin) if fields["kind"] == "SALE" else (-value, -margin)


def too_much(before: Customer | None, fields: Mapping[str, Any], policy: Policy) -> bool:
    """Whether a sum of the customer's would not fit any more."""
    held = facts(before)
    value, margin = worth(fields, policy)
    sums = held.lifetime_value + value, held.value + value, held.lifetime_margin + margin, held.margin + margin
    return any(not -LIMIT < number < LIMIT for number in sums)


def check(
    topic: str, fields: Mapping[str, Any], before: Customer | None, after: Customer | None, policy: Policy
) -> None:
    """That `after` is `before` with this event, once."""
    assert after is not None, "the customer is not there"
    was, now = facts(before), facts(after)
    _CHECKS[topic](fields, was, now, policy)


def _purchase(fields: Mapping[str, Any], was: History, now: History, policy: Policy) -> None:
    value, margin = worth(fields, policy)
    sold = int(fields["kind"] == "SALE")
    _same("lifetime_purchases", was.lifetime_purchases + sold, now.lifetime_purchases)
    _same("lifetime_value", was.lifetime_value + value, now.lifetime_value)
    _same("lifetime_margin", was.lifetime_margin + margin, now.lifetime_margin)
    _same("lifetime_serve", was.lifetime_serve, now.lifetime_serve)
    if sold and (was.last_purchase_at or -1) < fields["occurred_at"]:
        _same("last_store", fields["store_id"], now.last_store)


def _complaint(fields: Mapping[str, Any], was: History, now: History, _: Policy) -> None:
    cost = fields["compensation"] + (_COMPLAINT_COST if fields["status"] == "OPENED" else 0)
    _same("lifetime_serve", was.lifetime_serve + cost, now.lifetime_serve)
    _same("lifetime_value", was.lifetime_value, now.lifetime_value)
    held = {one.complaint_id: one for one in was.complaints}.get(fields["complaint_id"])
    found = next(one for one in now.complaints if one.complaint_id == fields["complaint_id"])
    if held is None or (held.at, held.event_id) < (fields["occurred_at"], fields["event_id"]):
        said = found.status, found.severity, found.about, found.satisfaction, found.store_id
        _same(
            "complaint",
            tuple(fields[name] for name in ("status", "severity", "about", "satisfaction", "store_id")),
            said,
        )


def _contact(fields: Mapping[str, Any], was: History, now: History, _: Policy) -> None:
    cost = fields["cost"] if fields["cost"] is not None else _CHANNELS.get(fields["channel"], 0)
    _same("lifetime_serve", was.lifetime_serve + cost, now.lifetime_serve)
    _same("lifetime_value", was.lifetime_value, now.lifetime_value)
    brought = fields["referred_customer_id"]
    if fields["kind"] == "REFERRAL" and brought not in (None, fields["customer_id"]):
        assert brought in now.referred or brought in now.refused, f"{brought!r} was brought by nobody"


def _profile(fields: Mapping[str, Any], was: History, now: History, _: Policy) -> None:
    held = was.profile
    if held is None or (held.occurred_at, held.event_id) < (fields["occurred_at"], fields["event_id"]):
        said = to_builtins(now.profile)
        said.pop("content")
        _same("profile", dict(fields), said | {"anniversaries": list(said["anniversaries"])})
    else:
        _same("profile", held, now.profile)
    _same("lifetime_value", was.lifetime_value, now.lifetime_value)


_CHECKS = {PURCHASES: _purchase, COMPLAINTS: _complaint, CONTACTS: _contact, CUSTOMERS: _profile}


def relayed(fields: Mapping[str, Any], before: Customer | None, after: Customer | None) -> None:
    """That what another partition says is known now. before: the customer as they were before all."""
    kind, now = fields["kind"], facts(after)
    other = fields["referred_customer_id"] or fields["referrer_id"]
    if kind == "REFERRAL":
        assert other in now.referred or other in now.refused, f"{other!r} was brought by nobody"
    elif kind == "CLAIM":
        known = {name for _, name in now.claims}
        assert fields["referrer_id"] in known or len(known) == 16, "nobody claims them"
    elif kind == "STANDING" and before is not None and after is not None:
        held = now.kin[fields["referrer_id"] or fields["referred_customer_id"] or ""]
        assert held.at >= fields["occurred_at"], "an older standing is kept"
        if held.at == fields["occurred_at"]:
            _same("standing", (fields["level"], fields["clv"]), (held.level, held.clv))


def _same(what: str, want: object, have: object) -> None:
    assert want == have, f"{what} is {have!r:.200}, must be {want!r:.200}"
