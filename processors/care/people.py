"""C8: the control group, a fixed share of customers by a hash that anybody can compute again."""

from __future__ import annotations

from hashlib import sha256

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
