"""R1: the models beside themselves worked out another way, to fifty digits, over a grid with extremes."""

from __future__ import annotations

from itertools import product
from math import isfinite

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.lifetime import (
    Model,
    Spend,
    chances,
    expected_of_the_living,
    expected_purchases,
    expected_spend,
    log_likelihood,
    p_alive,
    p_no_purchase,
)

GROCER = (1.396, 1.356, 0.027, 28.157)
CDNOW = (0.243, 4.414, 0.793, 2.426)
STRANGE = ((1e-4, 1e-4, 1e-4, 1e-4), (1e-4, 1e4, 1e4, 1e-4), (2.0, 3.0, 1.0, 5.0), (0.5, 2.0, 0.99999, 2.0))
KINDS = ("mbg_nbd", "bg_nbd")


def models() -> st.SearchStrategy[Model]:
    size = st.floats(-4, 4).map(lambda power: 10.0**power)
    return st.builds(Model, st.sampled_from(KINDS), size, size, size, size)


@st.composite
def summaries(draw: st.DrawFn) -> tuple[int, float, float]:
    """(x, recency, age), whole days as weeks."""
    x = draw(st.sampled_from((0, 1, 2, 7, 100, 5000)))
    age = draw(st.integers(x, 20 * 365))
    recency = draw(st.integers(x, age)) if x else 0
    return x, recency / 7, age / 7


def exactly(m: Model, x: int, age: float, horizon: float) -> mpmath.mpf:
    """Purchases of the living by the textbook's hypergeometric form; singular at a = 1, so a hair off."""
    r, alpha, a, b = (mpmath.mpf(value) for value in (m.r, m.alpha, m.a, m.b))
    a = a + mpmath.mpf("1e-20") if a == 1 else a
    beta, z = b + x + (m.kind == "mbg_nbd"), horizon / (alpha + age)
    return (a + beta - 1) / (a - 1) * (1 - mpmath.hyp2f1(r + x, a - 1, a + beta - 1, -z))


@pytest.mark.parametrize(("kind", "parameters"), list(product(KINDS, (GROCER, CDNOW, *STRANGE))))
def test_R1_expected_purchases_equal_the_textbooks_form(kind, parameters):
    m = Model(kind, *parameters)
    with mpmath.workdps(50):
        for x, age, horizon in product((0, 1, 7, 60), (1 / 7, 52.0, 1040.0), (1 / 7, 52.0, 156.0)):
            want = exactly(m, x, age, mpmath.mpf(horizon))
            got = expected_of_the_living(x, age, (horizon,), m)[0]
            assert abs(got - want) <= 1e-7 * want, (x, age, horizon)


@pytest.mark.parametrize(("kind", "parameters"), list(product(KINDS, (GROCER, CDNOW, *STRANGE))))
def test_R1_the_chance_of_being_alive_is_its_share_of_the_likelihood(kind, parameters):
    """By mixing over rates and leaving, number by number: nothing of the closed form is used."""
    m = Model(kind, *parameters)
    with mpmath.workdps(50):
        r, alpha, a, b = (mpmath.mpf(value) for value in parameters)
        for x, age in product((0, 1, 7, 400), (1 / 7, 52.0, 1040.0)):
            recency = age / 2 if x else 0.0
            stays = mpmath.beta(a, b + x + (kind == "mbg_nbd")) / (alpha + age) ** (r + x)
            leaves = mpmath.mpf(0)
            if kind == "mbg_nbd" or x:
                leaves = mpmath.beta(a + 1, b + x - (kind == "bg_nbd")) / (alpha + recency) ** (r + x)
            want = stays / (stays + leaves)
            assert abs(p_alive(x, recency, age, m) - want) < 1e-9, (x, age)
            buys = 1 - ((alpha + age) / (alpha + age + 8)) ** (r + x)
            assert abs(p_no_purchase(x, recency, age, 8.0, m) - (1 - want * buys)) < 1e-9, (x, age)


@given(models(), summaries(), st.sampled_from((1 / 7, 8.57, 52.0, 521.0)))
def test_R1_nothing_overflows_and_chances_stay_chances(m, summary, horizon):
    x, recency, age = summary
    alive, none = chances(x, recency, age, horizon, m)
    assert 0.0 <= alive <= 1.0
    assert 0.0 <= none <= 1.0
    bought = expected_purchases(x, recency, age, horizon, m)
    assert isfinite(bought)
    assert bought >= -1e-9
    assert isfinite(log_likelihood(x, recency, age, m))


@given(models(), summaries(), st.integers(1, 3000), st.sampled_from((4.0, 8.57, 52.0)))
def test_R2_longer_silence_never_makes_a_purchase_likelier(m, summary, days, horizon):
    x, recency, age = summary
    now, later = (p_no_purchase(x, recency, age + more / 7, horizon, m) for more in (0, days))
    assert later >= now - 1e-12


@given(models(), summaries())
def test_R1_a_longer_horizon_lets_expect_no_less(m, summary):
    x, _, age = summary
    short, long = expected_of_the_living(x, age, (8.0, 52.0), m)
    assert short <= long * (1 + 1e-6) + 1e-9


def test_R1_the_literatures_values():
    m = Model("bg_nbd", *CDNOW)
    assert round(p_alive(2, 30.43, 38.86, m), 4) == 0.7266
    assert round(expected_purchases(2, 30.43, 38.86, 39.0, m), 3) == 1.226
    assert p_alive(0, 0.0, 38.86, m) == 1.0  # BG/NBD lets nobody leave before a repeat purchase


def test_V3_the_amount_is_drawn_to_the_populations():
    s = Spend(p=6.25, q=3.74, v=15.44)
    population = 6.25 * 15.44 / 2.74
    assert expected_spend(0, 0.0, s) == pytest.approx(population)
    assert population < expected_spend(1, 100.0, s) < expected_spend(50, 100.0, s) < 100.0
