"""R1, R2: what `loyalty fit` works out of a history: nothing of the future decides, and what is written is a policy."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from random import Random

import pytest

from processors.events import Line, Purchase
from processors.history import recent, within
from processors.policy import Policy, load_policy
from processors.signals import RECENT_DAYS, Signals, by_silence, signals
from streams.replay import Histories, folded
from streams.study.fit import Fitted, auc, average_precision, fit_history, review_cases
from streams.study.plots import plot_calibration
from streams.study.section import section

DAY_MS = 86_400_000
START, END = 17_000, 17_500
HEAD = '[programme]\nname = "shop"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(HEAD)


def sale(customer: str, day: int, cents: int, currency: str = "USD") -> Purchase:
    return Purchase(
        event_id=f"{customer}-{day}", customer_id=customer, occurred_at=day * DAY_MS + 1, kind="SALE", store_id="1",
        currency=currency, lines=(Line(category="a", quantity=1, net_amount=cents),),
    )  # fmt: skip


def shop(customers: int = 400, until: int = END) -> Histories:
    """Customers who buy at a rate of their own, some of whom leave; only what lies up to `until`."""
    found = Histories()
    for number in range(customers):
        rng = Random(number)
        every, leaves = rng.choice((5, 9, 20, 40)), rng.uniform(0.0, 0.08)
        name, day, spends = f"c{number}", START + rng.randrange(60), rng.uniform(500, 9_000)
        while day <= END:
            if day <= until:
                found.events.setdefault(name, []).append(sale(name, day, int(spends * rng.uniform(0.3, 1.7))))
            if rng.random() < leaves:
                break
            day += 1 + int(rng.expovariate(1 / every))
    return found


@pytest.fixture(scope="module")
def fitted(policy: Policy) -> Fitted:
    return fit_history(shop(), "mbg_nbd", END, policy)


def test_R1_the_check_expects_what_came(fitted):
    assert fitted.model.trusted
    assert fitted.check is not None
    assert fitted.check.expected == pytest.approx(fitted.check.happened, rel=0.1)
    assert fitted.check.auc > 0.8


def test_R2_weights_learned_earlier_tell_who_leaves_later(fitted):
    weighed = fitted.weighed
    assert weighed is not None
    assert weighed.auc > 0.75
    assert weighed.earlier.cases + weighed.later_cases < weighed.weights.cases  # those between are in neither
    assert weighed.weights.weights[0] >= 0
    assert weighed.weights.weights[1] >= 0
    assert {"open_complaint", "referrer_gone"} <= set(weighed.silent)
    assert all(isnan(weighed.weights.errors[1 + Signals._fields.index(name)]) for name in weighed.silent)


def test_R2_a_case_knows_nothing_of_what_comes_after_its_day(policy):
    whole = list(review_cases(shop(60), END, policy))
    day = min(case.day for case in whole)
    for case in (case for case in whole if case.day == day):
        cut = shop(60, until=day).events[case.customer_id]
        (then,) = folded(case.customer_id, cut, [(day + 1) * DAY_MS], policy, Histories())
        facts = within(then.history, day)
        driven = by_silence(case.who, policy)(day)
        given = signals(facts, case.who, recent(facts, day, RECENT_DAYS), day, driven, policy)
        assert case.signals == given
        assert case.who.last == max(event.occurred_at // DAY_MS for event in cut)
    left = {(case.customer_id, case.day): case.left for case in whole}
    bought = {name: [event.occurred_at // DAY_MS for event in own] for name, own in shop(60).events.items()}
    for (name, then), gone in left.items():
        assert gone == (not any(then < day <= then + policy.risk.horizon_days for day in bought[name]))
    assert {True, False} == set(left.values())


def test_what_is_written_is_read_back_as_what_was_fitted(fitted, policy, tmp_path: Path):
    text = section(fitted, policy)
    again = load_policy(HEAD + text)
    m, weighed = fitted.model.model, fitted.weighed
    assert weighed is not None
    assert again.model.r == pytest.approx(m.r, rel=1e-4)
    assert again.model.b == pytest.approx(m.b, rel=1e-4)
    assert again.weights == pytest.approx(weighed.weights.weights, rel=1e-4)
    assert again.risk.typical_value_365d == fitted.typical_value_365d
    assert again.risk.weights.open_complaint == policy.risk.weights.open_complaint
    assert "never speaks of it" in text
    paths = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in paths:
        plot_calibration(path, [("score", weighed.bins)])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_short_history_says_what_is_missing_and_keeps_the_policys_weights(policy):
    short = fit_history(shop(20), "bg_nbd", END, policy)
    assert not short.model.trusted
    assert short.check is None
    assert len(short.missing) >= 1
    assert load_policy(HEAD + section(short, policy)).weights[5] == policy.weights[5]
    with pytest.raises(ValueError, match="nothing to fit"):
        fit_history(Histories(), "bg_nbd", END, policy)


def test_R1_a_model_that_is_not_to_be_trusted_is_written_as_a_comment_alone(policy):
    found = Histories()
    for number in range(300):
        found.events[f"c{number}"] = [sale(f"c{number}", START + number % 60, 500)]
    never = fit_history(found, "bg_nbd", END, policy)
    assert (never.model.trusted, never.weighed) == (False, None)
    text = section(never, policy)
    assert load_policy(HEAD + text).model == policy.model
    assert "# of bg_nbd, not to be trusted: parameters = { r = " in text


def test_what_cannot_be_booked_is_counted_and_left_out(policy):
    found = Histories()
    own = [sale("a", START, 100), sale("a", START + 1, 100, currency="EUR")]
    (customer,) = folded("a", own, [(START + 9) * DAY_MS], policy, found)
    assert (customer.history.sales, found.unbookable) == (1, 1)


def test_R5_measures_of_ranking():
    assert auc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert auc([1, 1], [True, False]) == 0.5
    assert isnan(auc([1, 2], [True, True]))
    assert average_precision([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([1, 1, 1, 1], [True, False, False, False]) == 0.25  # ties come together
    assert isnan(average_precision([1], [False]))
