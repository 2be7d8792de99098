"""R1, V3: the fit finds what the literature found, and what made the data; it says when it should not be trusted."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from math import isnan

import numpy as np
import pytest

from processors import fitting
from processors.fitting import calibration, fit_model, fit_spend, fit_weights
from processors.lifetime import Model, log_likelihood
from streams.datasets import cdnow_rows

UNTIL = (date(1997, 9, 30) - date(1970, 1, 1)).days


def cdnow_sample() -> tuple[list[tuple[int, float, float]], list[tuple[int, float]]]:
    """(x, recency, age) in weeks, and (repeat purchase days, mean of their dollars), to 30 September 1997."""
    days: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for row in cdnow_rows(sample=True):
        if row.day <= UNTIL:
            days[row.customer][row.day] += row.cents
    bought, spent = [], []
    for own in days.values():
        first, last = min(own), max(own)
        bought.append((len(own) - 1, (last - first) / 7, (UNTIL - first) / 7))
        if len(own) > 1:
            again = [cents / 100 for day, cents in own.items() if day != first]
            spent.append((len(again), sum(again) / len(again)))
    return bought, spent


def test_R1_bg_nbd_on_the_cdnow_sample_is_the_literatures():
    fit = fit_model(cdnow_sample()[0], "bg_nbd")
    m = fit.model
    assert (round(m.r, 3), round(m.alpha, 3), round(m.a, 3), round(m.b, 3)) == (0.243, 4.414, 0.793, 2.426)
    assert round(fit.log_likelihood, 1) == -9582.4
    assert (fit.customers, fit.back, fit.trusted) == (2357, 946, True)
    assert all(0 < error < 1 for error in fit.errors)


@pytest.mark.parametrize("kind", ["bg_nbd", "mbg_nbd"])
def test_R1_the_fits_likelihood_is_the_models_and_at_its_top(kind):
    bought = cdnow_sample()[0]
    fit = fit_model(bought, kind)
    m = fit.model
    assert fit.log_likelihood == pytest.approx(sum(log_likelihood(*one, m) for one in bought), rel=1e-10)
    for name in ("r", "alpha", "a", "b"):
        for factor in (0.99, 1.01):
            other = Model(kind, **{n: getattr(m, n) * (factor if n == name else 1) for n in ("r", "alpha", "a", "b")})
            assert sum(log_likelihood(*one, other) for one in bought) < fit.log_likelihood


def drawn(kind: str, customers: int) -> list[tuple[int, float, float]]:
    """Customers who buy and leave as the model with r .8, alpha 3, a .6, b 2 says, watched for 20 to 100 weeks."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(customers):
        rate, leaves = rng.gamma(0.8, 1 / 3.0), rng.beta(0.6, 2.0)
        age, now, x, last = rng.uniform(20, 100), 0.0, 0, 0.0
        gone = kind == "mbg_nbd" and rng.random() < leaves
        while not gone:
            now += rng.exponential(1 / rate)
            if now > age:
                break
            x, last = x + 1, now
            gone = rng.random() < leaves
        found.append((x, last, age))
    return found


@pytest.mark.parametrize("kind", ["bg_nbd", "mbg_nbd"])
def test_R1_the_fit_finds_what_made_the_data_within_its_own_errors(kind):
    fit = fit_model(drawn(kind, 6_000), kind)
    assert fit.trusted
    m = fit.model
    for have, error, want in zip((m.r, m.alpha, m.a, m.b), fit.errors, (0.8, 3, 0.6, 2), strict=True):
        assert abs(have - want) < 3 * error < want


def test_R1_too_few_customers_are_not_trusted():
    fit = fit_model(drawn("mbg_nbd", 60), "mbg_nbd")
    assert not fit.trusted
    assert "60 customers" in fit.verdict
    with pytest.raises(ValueError, match="nothing to fit"):
        fit_model([], "mbg_nbd")


@pytest.mark.parametrize("kind", ["bg_nbd", "mbg_nbd"])
def test_R1_a_history_in_which_nobody_came_back_is_not_trusted_and_says_why(kind):
    fit = fit_model([(0, 0.0, float(age)) for age in range(10, 60) for _ in range(20)], kind)
    assert not fit.trusted
    assert "1000 customers, 0 of whom came back" in fit.verdict
    assert all(isnan(error) for error in fit.errors)


def test_R1_a_search_that_stops_on_the_way_is_not_trusted(monkeypatch):
    def hasty(*args, **kwargs):
        return minimize(*args, **{**kwargs, "options": {"maxiter": 2}})

    minimize = fitting.minimize
    monkeypatch.setattr(fitting, "minimize", hasty)
    fit = fit_model(drawn("mbg_nbd", 1_000), "mbg_nbd")
    assert not fit.trusted
    assert "stopped short" in fit.verdict


def test_R1_an_end_that_one_start_alone_found_is_not_trusted(monkeypatch):
    ends = []

    def astray(*args, **kwargs):
        end = minimize(*args, **kwargs)
        end.fun += len(ends)  # each start but the first ends lower
        ends.append(end)
        return end

    minimize = fitting.minimize
    monkeypatch.setattr(fitting, "minimize", astray)
    fit = fit_model(drawn("mbg_nbd", 1_000), "mbg_nbd")
    assert len(ends) == 3
    assert not fit.trusted
    assert "of 3 starts one alone" in fit.verdict


def test_R1_customers_who_never_leave_leave_the_chance_of_leaving_open():
    rng = np.random.default_rng(3)
    bought = []
    for _ in range(400):
        times = np.cumsum(rng.exponential(1 / rng.gamma(4.0, 0.5), 400))
        times = times[times < 52]
        bought.append((len(times), float(times[-1]) if len(times) else 0.0, 52.0))
    fit = fit_model(bought, "mbg_nbd")
    assert not fit.trusted or "with care" in fit.verdict


def test_V3_gamma_gamma_on_the_cdnow_sample_is_the_literatures():
    fit = fit_spend(cdnow_sample()[1])
    assert fit.spend is not None
    assert (round(fit.spend.p, 2), round(fit.spend.q, 2), round(fit.spend.v, 2)) == (6.25, 3.74, 15.44)
    assert fit.customers == 946
    assert abs(fit.correlation) < 0.2
    assert fit.trusted


def test_V3_gamma_gamma_leaves_out_who_brings_no_gain():
    fit = fit_spend([(1, 10.0), (5, -2.0), (3, 0.0), (2, 8.0)])
    assert (fit.spend, fit.customers, fit.trusted) == (None, 2, False)


def test_V3_the_unit_of_money_scales_v_alone():
    spent = cdnow_sample()[1]
    dollars, cents = fit_spend(spent), fit_spend([(n, mean * 100) for n, mean in spent])
    assert dollars.spend is not None
    assert cents.spend is not None
    assert cents.spend.p == pytest.approx(dollars.spend.p, rel=1e-6)
    assert cents.spend.v == pytest.approx(dollars.spend.v * 100, rel=1e-6)
    assert cents.errors[2] == pytest.approx(dollars.errors[2] * 100, rel=1e-4)


def cases(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    columns = [rng.normal(0, 1.5, count), rng.uniform(0, 1, count), rng.uniform(0, 1, count), np.zeros(count)]
    table = np.column_stack(columns)
    chance = 1 / (1 + np.exp(-(-2.0 + 1.2 * table[:, 0] + 0.7 * table[:, 1] - 0.5 * table[:, 2])))
    return table, rng.random(count) < chance


def test_R2_weights_are_found_within_their_errors_and_signs_are_held():
    table, left = cases()
    fit = fit_weights(table, left, [True, True, False, False], 1.0, towards=(1.0, 0.0, 0.0, 0.9))
    for have, error, want in zip((fit.intercept, *fit.weights[:3]), fit.errors, (-2.0, 1.2, 0.7, -0.5), strict=False):
        assert abs(have - want) < 3.5 * error
    assert fit.weights[3] == pytest.approx(0.9)  # a signal that never speaks keeps the weight it had
    held = fit_weights(table, left, [True, True, True, True], 1.0)
    assert held.weights[2] == 0.0
    assert isnan(held.errors[3])
    assert sum(one.cases for one in fit.bins) == fit.cases == 20_000
    assert all(abs(one.predicted - one.happened) < 0.03 for one in fit.bins)


def test_R2_cases_of_one_customer_are_not_taken_for_many():
    table, left = cases(2_000)
    alone = fit_weights(table, left, [False] * 4, 1.0)
    tenfold = fit_weights(np.tile(table, (10, 1)), np.tile(left, 10), [False] * 4, 10.0, groups=list(range(2_000)) * 10)
    assert tenfold.weights == pytest.approx(alone.weights, abs=1e-4)
    assert tenfold.errors[1] == pytest.approx(alone.errors[1], rel=0.15)


def test_R2_weights_need_some_who_left_and_some_who_did_not():
    with pytest.raises(ValueError, match="some who did and some who did not"):
        fit_weights(np.zeros((5, 1)), np.zeros(5), [True], 1.0)


def test_R5_calibration_has_parts_of_equal_size():
    bins = calibration([0.9, 0.1, 0.2, 0.8], [1, 0, 0, 1], 2)
    assert [(round(one.predicted, 2), one.happened, one.cases) for one in bins] == [(0.15, 0.0, 2), (0.85, 1.0, 2)]
