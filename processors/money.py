"""Money: integers in minor units, exact rates, and the one place that rounds (half to even).

No binary float ever touches an amount: a rate is the decimal as it was written, kept as a fraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import msgspec

# Decimals of the minor unit -> codes in use that have it.
_IN_USE = {
    2: """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU
CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG""",
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
# Out of use since 2014, but found in the history that a programme loads.
_WITHDRAWN = {0: "BYR", 2: "ANG BGN CUC HRK LTL LVL MRO SLL STD VEF ZWL"}

#: ISO 4217 alphabetic code -> number of decimals of its minor unit: every code in use that has one, and those withdrawn
#: since 2014. Metals, funds of the IMF and test codes have no minor unit, so that nothing can be counted in them.
EXPONENTS: Mapping[str, int] = {
    code: decimals for table in (_WITHDRAWN, _IN_USE) for decimals, codes in table.items() for code in codes.split()
}


AMOUNT_END = 1 << 63
"""Sums of amounts lie within plus and minus this: they are kept in 64 bits."""


def clamped(amount: int) -> int:
    """`amount` within 64 bits: of what follows from sums of amounts. No real money comes near; it only must not stop a
    partition."""
    return amount if -AMOUNT_END < amount < AMOUNT_END else max(-AMOUNT_END + 1, min(amount, AMOUNT_END - 1))


class Unbookable(ValueError):
    """An amount that cannot be booked, so that its event cannot be folded."""


class TooMuch(Unbookable):
    """A sum would not fit into 64 bits."""

    def __init__(self) -> None:
        super().__init__(
            f"the customer's sum would pass {AMOUNT_END - 1:,} minor units; the sender must correct the amount"
        )


class UnknownCurrency(Unbookable):
    """An amount in a currency for which the policy has no rate."""

    def __init__(self, currency: str, programme: str) -> None:
        known = currency in EXPONENTS
        way_out = (
            f"add {currency} = <{programme} for one {currency}> there and retry the record"
            if known
            else f"{currency!r} is no ISO 4217 code with a minor unit; the sender must correct it"
        )
        super().__init__(f"[currencies] rates has no entry for {currency}; {way_out}")
        self.currency = currency


class Rate(msgspec.Struct, frozen=True):
    """An exact rate in lowest terms; `denominator` > 0. Made from a decimal as written, never from a binary float."""

    numerator: int
    denominator: int

    @classmethod
    def of(cls, written: str | int | Decimal | Fraction) -> Rate:
        """The rate as written: `Rate.of("0.30")` is 3/10. ValueError if not finite, TypeError for floats."""
        if isinstance(written, float):
            raise TypeError(f"{written!r} is a binary float; give the decimal as written")
        try:
            exact = Fraction(written)
        except (ValueError, OverflowError):
            raise ValueError(f"{written} is no finite number") from None
        return cls(exact.numerator, exact.denominator)

    def __float__(self) -> float:
        return self.numerator / self.denominator

    def __str__(self) -> str:
        return format(Decimal(self.numerator) / Decimal(self.denominator), "f")

    @property
    def fraction(self) -> Fraction:
        """For comparisons and arithmetic off the hot path."""
        return Fraction(self.numerator, self.denominator)


def half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` rounded to a whole number, halves to the even one; exact, either sign.

    >>> [half_even(n, 2) for n in (-3, -1, 1, 3, 5)]
    [-2, 0, 0, 2, 2]
    """
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    whole, rest = divmod(numerator, denominator)
    twice = rest + rest
    if twice > denominator or (twice == denominator and whole & 1):
        return whole + 1
    return whole


class Rates:
    """Other currencies in the programme's: `rates` says how many programme major units one major unit is worth.

    ValueError for a programme currency without a minor unit, an unknown code among the rates, or a rate <= 0.
    """

    __slots__ = ("_factors", "currency")

    def __init__(self, currency: str, rates: Mapping[str, Rate]) -> None:
        for code in (currency, *rates):
            if code not in EXPONENTS:
                raise ValueError(f"{code!r} is no ISO 4217 currency with a minor unit")
        self.currency = currency
        self._factors: dict[str, tuple[int, int]] = {}
        for code, rate in rates.items():
            if rate.numerator <= 0:
                raise ValueError(f"the rate of {code} is {rate}: must be > 0")
            factor = rate.fraction * 10 ** EXPONENTS[currency] / 10 ** EXPONENTS[code]
            self._factors[code] = (factor.numerator, factor.denominator)

    def convert(self, amount_minor: int, currency: str) -> int:
        """The amount in the programme's minor units, half even. UnknownCurrency where there is no rate."""
        if currency == self.currency:
            return amount_minor
        factor = self._factors.get(currency)
        if factor is None:
            raise UnknownCurrency(currency, self.currency)
        return half_even(amount_minor * factor[0], factor[1])


def major(amount_minor: int, currency: str) -> str:
    """An amount for people, in major units: `major(61200, "USD")` is "612.00 USD"."""
    exponent = EXPONENTS[currency]
    whole, part = divmod(abs(amount_minor), 10**exponent)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}.{part:0{exponent}d} {currency}" if exponent else f"{sign}{whole} {currency}"
