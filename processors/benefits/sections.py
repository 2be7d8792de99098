"""The policy's section [[benefits]] (T9): what is earned, by a tier or by buying, with its check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from processors.sections import Name, Tier, Words
from processors.strict import Contradiction, unknown

Worth = Annotated[int, Meta(ge=1, le=10**15, description="an amount in minor units (a whole number)")]
Some = Annotated[int, Meta(ge=1, le=10**9, description="a whole number")]


class Buy(Struct, frozen=True):
    """What of one sale earns a benefit once: so many pieces, or so much money, of a category; without one, of all."""

    category: Name | None = None
    quantity: Some | None = None
    amount: Worth | None = None

    def contradictions(self) -> Iterator[Contradiction]:
        if (self.quantity is None) == (self.amount is None):
            yield (), "must have either quantity (pieces) or amount (minor units)"


class Benefit(Struct, frozen=True):
    """A benefit, a thing (`get`), money off (`worth`) or both. By `tiers`: `uses` times each calendar year for who
    holds one of them. By `buy`: `uses` times for each full measure in one sale, within `expires_days` of it."""

    name: Annotated[
        str, Meta(pattern=r"\A[^\s:]([^:\r\n]{0,62}[^\s:])?\Z", description="a text of 1 to 64 characters without :")
    ]
    tiers: tuple[str, ...] | None = None
    buy: Buy | None = None
    get: Words | None = None
    worth: Worth | None = None
    uses: Annotated[int, Meta(ge=1, le=1000, description="a whole number")] = 1
    expires_days: Annotated[int, Meta(ge=1, le=365, description="a whole number of days")] | None = None

    def contradictions(self) -> Iterator[Contradiction]:
        if (self.tiers is None) == (self.buy is None):
            yield (), "must be earned either by tiers or by buy"
        elif self.tiers is not None and self.expires_days is not None:
            yield ("expires_days",), "is for buy only: what a tier gives ends with the calendar year, and comes anew"
        elif self.buy is not None and self.expires_days is None:
            yield ("expires_days",), "is missing: must be a whole number of days, 1 to 365, from the sale on"
        if self.tiers == ():
            yield ("tiers",), "is empty: nobody would have it; name a tier"
        if self.get is None and self.worth is None:
            yield (), "gives nothing: needs get (a thing, in words) or worth (money off, in minor units)"


def contradictions(benefits: Sequence[Benefit], tiers: Sequence[Tier]) -> Iterator[Contradiction]:
    """What contradicts the tiers: their names, and the benefits that they list."""
    names = [tier.name for tier in tiers]
    by_name = {benefit.name: (place, benefit) for place, benefit in enumerate(benefits)}
    for place, benefit in enumerate(benefits):
        for index, name in enumerate(benefit.tiers or ()):
            if name not in names:
                words = unknown(name, names, "tier").removeprefix("is ")
                yield ("benefits", place, "tiers", index), f'is "{name}": {words}'
    for rank, tier in enumerate(tiers):
        for index, listed in enumerate(tier.benefits):
            at, found = by_name.get(listed, (0, None))
            if found is not None and tier.name not in (found.tiers or ()):
                how = "is earned by buying" if found.buy is not None else f'is not given to "{tier.name}"'
                words = f'is "{listed}", which by benefits[{at}] {how}; take it out here or name the tier there'
                yield ("tiers", rank, "benefits", index), words
