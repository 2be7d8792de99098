"""T9: what a customer keeps of benefits: facts, a record each, merged like sets; what they come to is in `came_to`.

A record stays for `KEEP_DAYS` and goes by its own day alone, so the order in which events come decides nothing. A
return and a use are never older than the sale they are about: they go no sooner.
"""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec import Struct

KEEP_DAYS: Final = 400
"""Programme days, above the longest time that a benefit lasts (366), so that no use is forgotten before it is over."""

PREFIX: Final = "benefit:"
"""How an id among a sale's coupons, or a contact's `item`, says that it is an entitlement's."""


class Row(Struct, frozen=True, array_like=True, gc=False, order=True):
    """A record, as of its programme day."""

    day: int


class Earned(Row, frozen=True, array_like=True, gc=False, order=True):
    """A sale that earned a benefit, on the terms of that day. at, expires_at: ms; sale: its id.

    bought: pieces, or minor units where `by_amount`, of `category` ("": of all); each full `per` of it gives `uses`
    uses, each worth `worth` minor units (0: a thing).
    """

    at: int
    sale: str
    benefit: str
    expires_at: int
    category: str
    by_amount: bool
    bought: int
    per: int
    uses: int
    worth: int


class Returned(Row, frozen=True, array_like=True, gc=False, order=True):
    """What came back of `sale` in one return: pieces and minor units of `category` ("": of all)."""

    sale: str
    category: str
    quantity: int
    amount: int


class Used(Row, frozen=True, array_like=True, gc=False, order=True):
    """The entitlement `id` was used `times` by the sale or contact `by`; below 0: a return of `by` gave it back."""

    at: int
    id: str
    by: str
    times: int


class Ledger(Struct, frozen=True, array_like=True, gc=False):
    """Each kind of record, sorted, the oldest day first. An empty ledger is None."""

    earned: tuple[Earned, ...] = ()
    returned: tuple[Returned, ...] = ()
    used: tuple[Used, ...] = ()


EMPTY: Final = Ledger()

Sort = TypeVar("Sort", bound=Row)


def merged(held: tuple[Sort, ...], more: tuple[Sort, ...]) -> tuple[Sort, ...]:
    """Both, sorted."""
    if not more:
        return held
    return tuple(sorted((*held, *more)))


def oldest_day(ledger: Ledger) -> int:
    """The programme day of the oldest record; there is one."""
    return min(rows[0].day for rows in (ledger.earned, ledger.returned, ledger.used) if rows)


def kept(ledger: Ledger, day: int) -> Ledger | None:
    """`ledger` as of programme day `day`: without what is older than `KEEP_DAYS`; None if nothing is left."""
    first = day - KEEP_DAYS + 1
    if oldest_day(ledger) >= first:
        return ledger
    left = Ledger(_since(ledger.earned, first), _since(ledger.returned, first), _since(ledger.used, first))
    return None if left == EMPTY else left


def _since(rows: tuple[Sort, ...], first: int) -> tuple[Sort, ...]:
    return tuple(row for row in rows if row.day >= first)
