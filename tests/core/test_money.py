"""Money: exact, half to even, in integers."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.money import AMOUNT_END, EXPONENTS, Rate, Rates, UnknownCurrency, clamped, half_even, major

amounts = st.integers(-(10**13), 10**13)
written = st.decimals(min_value="0.000001", max_value="100000", places=6)


@given(st.integers(), st.integers().filter(bool))
def test_rounding_is_half_to_even_for_either_sign(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**15), 10**15), st.sampled_from([2, 4, 20, 200]))
def test_halves_go_to_the_even_neighbour(whole: int, denominator: int) -> None:
    rounded = half_even(whole * denominator + denominator // 2, denominator)
    assert rounded % 2 == 0
    assert rounded in (whole, whole + 1)


@given(amounts, st.decimals(min_value=0, max_value=1, places=4))
def test_a_margin_is_the_exact_share_half_even(amount: int, rate: Decimal) -> None:
    plain = (amount * rate).quantize(Decimal(1), ROUND_HALF_EVEN)
    exact = Rate.of(rate)
    assert half_even(amount * exact.numerator, exact.denominator) == int(plain)


def test_a_rate_is_the_decimal_as_written_and_never_a_binary_float() -> None:
    assert Rate.of("0.30") == Rate(3, 10)
    assert Rate.of(Decimal("1E+2")) == Rate(100, 1)
    assert Rate.of(Decimal("0.1")).fraction == Fraction(1, 10)
    assert str(Rate.of("0.20")) == "0.2"
    assert str(Rate.of("0.0000001")) == "0.0000001"
    assert float(Rate.of("0.25")) == 0.25
    with pytest.raises(TypeError, match="binary float"):
        Rate.of(0.1)  # type: ignore[arg-type]
    for nonsense in ("nan", "inf", "-inf", "a tenth"):
        with pytest.raises(ValueError, match="is no finite number"):
            Rate.of(Decimal(nonsense) if nonsense != "a tenth" else nonsense)


@given(amounts, st.sampled_from(sorted(EXPONENTS)), st.sampled_from(sorted(EXPONENTS)), written)
def test_an_amount_is_converted_exactly_by_both_exponents(amount: int, home: str, other: str, rate: Decimal) -> None:
    rates = Rates(home, {other: Rate.of(rate)} if other != home else {})
    worth = 1 if other == home else Fraction(rate)
    plain = Fraction(amount, 10 ** EXPONENTS[other]) * worth * 10 ** EXPONENTS[home]
    assert rates.convert(amount, other) == round(plain)


def test_yen_and_dinars_have_other_exponents_than_cents() -> None:
    rates = Rates("USD", {"JPY": Rate.of("0.0067"), "KWD": Rate.of("3.25"), "EUR": Rate.of("1.08")})
    assert rates.convert(1_000, "JPY") == 670
    assert rates.convert(1_000, "KWD") == 325
    assert rates.convert(1_000, "EUR") == 1_080
    assert rates.convert(-25, "EUR") == -27
    assert rates.convert(12_345, "USD") == 12_345


def test_a_currency_without_a_rate_is_named_with_the_way_out() -> None:
    rates = Rates("USD", {"EUR": Rate.of("1.08")})
    with pytest.raises(
        UnknownCurrency, match=r"^\[currencies\] rates has no entry for CHF; add CHF = <USD for one CHF>"
    ):
        rates.convert(1, "CHF")
    for code in ("usd", "XAU", "", "DOGE"):
        with pytest.raises(UnknownCurrency, match="is no ISO 4217 code"):
            rates.convert(1, code)


def test_rates_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="'XAU' is no ISO 4217 currency"):
        Rates("XAU", {})
    with pytest.raises(ValueError, match="'EURO' is no ISO 4217 currency"):
        Rates("USD", {"EURO": Rate(1, 1)})
    with pytest.raises(ValueError, match="the rate of EUR is 0: must be > 0"):
        Rates("USD", {"EUR": Rate(0, 1)})


@pytest.mark.parametrize(
    ("codes", "decimals"),
    [
        ("USD EUR CNY GBP INR BRL MGA MRU ZWG XCG SLE", 2),
        ("JPY KRW VND CLP ISK XOF XAF XPF UGX PYG", 0),
        ("BHD IQD JOD KWD LYD OMR TND", 3),
        ("CLF UYW", 4),
    ],
)
def test_exponents_are_those_of_iso_4217(codes: str, decimals: int) -> None:
    assert {EXPONENTS[code] for code in codes.split()} == {decimals}


def test_what_has_no_minor_unit_is_no_currency_to_count_in() -> None:
    assert all(len(code) == 3 and code.isupper() for code in EXPONENTS)
    assert len(EXPONENTS) > 165
    assert not {"XAU", "XDR", "XTS", "XXX"} & set(EXPONENTS)


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(61_200, "USD", "612.00 USD"), (-5, "USD", "-0.05 USD"), (5, "KWD", "0.005 KWD"), (1_000, "JPY", "1000 JPY"),
     (-7, "JPY", "-7 JPY"), (0, "EUR", "0.00 EUR")],
)  # fmt: skip
def test_amounts_are_shown_in_major_units(amount: int, currency: str, shown: str) -> None:
    assert major(amount, currency) == shown


@given(st.integers(-(1 << 70), 1 << 70))
def test_what_follows_from_sums_stays_within_64_bits(amount: int) -> None:
    assert -AMOUNT_END < clamped(amount) < AMOUNT_END
    assert clamped(amount) == amount or abs(amount) >= AMOUNT_END
