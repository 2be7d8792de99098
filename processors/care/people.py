"""C7, C8: who cares for a customer, and who is in the control group; by hashes that anybody can compute again."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import log

from processors.care.sections import Staff
from processors.money import Rate


def held_out(programme: str, customer_id: str, share: Rate) -> bool:
    """Whether the customer is in the control group (C8): the first 8 bytes, big-endian, of the SHA-256 of
    `<programme>:<customer_id>` in UTF-8, as a fraction of 2^64, lie below `share`; exact.

    >>> held_out("default", "anna", Rate.of("0")), held_out("default", "anna", Rate.of("1"))
    (False, True)
    """
    if not share.numerator:
        return False
    place = int.from_bytes(sha256(f"{programme}:{customer_id}".encode()).digest()[:8], "big")
    return place * share.denominator < share.numerator << 64


def assigned(customer_id: str, kind: str, store: str | None, roster: Sequence[Staff]) -> str | None:
    """Who of the roster cares for a customer whom nobody is in charge of (C7); None: nobody has the skill or the store.

    Each has a number by (customer, employee) and the highest takes it: evenly by `load`, the same each time, and when
    somebody joins or leaves only theirs move.
    Source: weighted rendezvous hashing, Wang and Ravishankar 1998 with the weights of Schindelhauer and Schomaker 2005.
    """
    able = [
        staff
        for staff in roster
        if (staff.skills is None or kind in staff.skills) and (staff.stores is None or store in staff.stores)
    ]
    return max(able, key=lambda staff: _number(customer_id, staff), default=_NOBODY).employee or None


_NOBODY = Staff("")


def _number(customer_id: str, staff: Staff) -> tuple[float, str]:
    """-load / ln(h), h of the first 52 bits of SHA-256, evenly over (0, 1)."""
    place = int.from_bytes(sha256(f"{staff.employee}:{customer_id}".encode()).digest()[:8], "big") >> 12
    return -float(staff.load) / log((place + 0.5) / (1 << 52)), staff.employee
