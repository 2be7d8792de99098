"""R5, R6: the measures against scikit-learn and plain loops; nothing of the future in what is learned."""

from __future__ import annotations

from datetime import date
from math import exp
from pathlib import Path
from random import Random

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from processors.policy import Policy, load_policy
from processors.signals import Signals
from streams.replay import Histories
from streams.settings import LoyaltyError
from streams.study.evaluation import (
    FITTED,
    declines,
    evaluate,
    fitted_weights,
    scores_of,
)
from streams.study.measures import (
    MEASURES,
    Outcomes,
    draws,
    early,
    numbered,
    recalibration,
    top,
)
from streams.study.report import as_json, tables, write
from streams.study.reviews import Case, Protocol, cases_of, firsts_of_months, protocol_of, silences, trained
from tests.core.test_R_fit import END, HEAD, START, sale, shop

RISK = "[risk]\nparameters = { r = 1.0, alpha = 7.0, a = 0.4, b = 4.0 }\n"


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(HEAD + RISK)


@pytest.fixture(scope="module")
def protocol(policy: Policy) -> Protocol:
    return protocol_of(shop(), policy)


@pytest.fixture(scope="module")
def cases(policy: Policy, protocol: Protocol) -> list[Case]:
    return cases_of(shop(), protocol, policy)


def outcomes(seed: int, rows: int = 300) -> tuple[np.ndarray, Outcomes]:
    """Scores with ties, and what became of each case."""
    chance = np.random.default_rng(seed)
    left = chance.random(rows) < 0.15
    rate = chance.lognormal(size=rows)
    scores = np.round(chance.random(rows) + 0.3 * left, 1)
    return scores, Outcomes(chance.integers(0, 90, rows), left, rate, np.where(left, 90 * rate, 0.0))


@pytest.mark.parametrize("seed", range(20))
def test_R5_auc_and_average_precision_are_scikit_learns(seed):
    scores, of = outcomes(seed)
    assert MEASURES["auc"](scores, of) == pytest.approx(roc_auc_score(of.left, scores), abs=1e-12)
    assert MEASURES["average_precision"](scores, of) == pytest.approx(
        average_precision_score(of.left, scores), abs=1e-12
    )


@pytest.mark.parametrize("seed", range(5))
def test_R5_the_top_tenth_is_what_orders_of_equals_give_on_the_mean(seed):
    scores, of = outcomes(seed)
    rng, places = Random(seed), round(0.1 * len(scores))
    recall, precision, cover = [], [], []
    for _ in range(3_000):
        order = list(range(len(scores)))
        rng.shuffle(order)
        best = sorted(order, key=lambda row: -scores[row])[:places]
        recall.append(of.left[best].sum() / of.left.sum())
        precision.append(of.left[best].mean())
    ranked = sorted(range(len(scores)), key=lambda row: -scores[row] * of.rate[row])[:places]
    cover = of.lost[ranked].sum() / of.lost.sum()
    assert top(scores).sum() == pytest.approx(places)
    assert MEASURES["recall"](scores, of) == pytest.approx(np.mean(recall), abs=0.005)
    assert MEASURES["precision"](scores, of) == pytest.approx(np.mean(precision), abs=0.01)
    assert MEASURES["cover"](scores, of) == pytest.approx(cover, abs=1e-12)


def test_R5_no_measure_depends_on_the_order_of_rows():
    scores, of = outcomes(1)
    mixed = np.random.default_rng(2).permutation(len(scores))
    for name, measure in MEASURES.items():
        assert measure(scores[mixed], of.drawn(mixed)) == pytest.approx(measure(scores, of), abs=1e-12), name


def test_R5_a_draw_takes_customers_with_all_of_their_rows():
    customer = numbered(["b", "a", "b", "c", "a", "b"])
    seen = set()
    for rows in draws(customer, 200):
        counts = np.bincount(rows, minlength=len(customer))
        by_customer = {int(number): {int(count) for count in counts[customer == number]} for number in customer}
        assert all(len(count) == 1 for count in by_customer.values())
        assert sum(count.copy().pop() for count in by_customer.values()) == 3
        seen.add(tuple(counts.tolist()))
    assert len(seen) == 10  # 3 of 3 with replacement


def test_R5_draws_are_the_same_each_time():
    customer = numbered([str(row % 7) for row in range(40)])
    first, second = (np.concatenate(list(draws(customer, 5))) for _ in range(2))
    assert (first == second).all()


def test_R5_found_and_lead_leave_out_whom_nobody_saw():
    found, lead = early(np.array([10.0, 50.0, np.nan, np.nan]), ["a", "b", "c", "d"])
    assert (found.value, lead.value) == (0.5, 30.0)
    assert 0.0 <= found.low < 0.5 < found.high <= 1.0
    assert 10.0 <= lead.low < lead.high <= 50.0


def test_R5_recalibration_finds_what_shifted_the_scores():
    chance = np.random.default_rng(3)
    logits = chance.normal(-2.0, 1.5, 60_000)
    left = chance.random(60_000) < 1.0 / (1.0 + np.exp(-(0.7 + 1.2 * logits)))
    intercept, slope = recalibration(logits, left)
    assert intercept == pytest.approx(0.7, abs=0.1)
    assert slope == pytest.approx(1.2, abs=0.05)


# ---- the protocol


def test_R5_no_outcome_learned_from_reaches_the_first_day_of_the_test(protocol, cases):
    assert protocol.train
    assert len(protocol.test) == 3
    assert max(protocol.train) + protocol.horizon <= min(protocol.test)
    assert min(protocol.between) + protocol.horizon > min(protocol.test)
    assert max(protocol.test) + 90 <= protocol.end
    learned = [case for case in cases if case.day in protocol.train]
    assert max(case.day for case in learned) + protocol.horizon <= min(protocol.test)
    assert {case.day for case in cases} == set(protocol.days)


def test_R5_what_is_learned_does_not_change_with_what_comes_from_the_test_on(policy, protocol, cases):
    """The shop without its future, and with another one, under the same protocol."""
    first = protocol.test[0]
    cut, other = shop(until=first - 1), shop(until=first - 1)
    for name in list(other.events):
        other.events[name] += [sale(name, day, 99_999) for day in range(first, END, 3)]
    known = trained(shop(), protocol, policy)
    weights = fitted_weights([case for case in cases_of(shop(), protocol, known) if case.day in protocol.train])
    for found in (cut, other):
        again = trained(found, protocol, policy)
        assert (again.model, again.risk) == (known.model, known.risk)
        train = [case for case in cases_of(found, protocol, again) if case.day in protocol.train]
        assert fitted_weights(train).weights == pytest.approx(weights.weights)


def test_R5_a_case_sees_only_what_lies_before_its_day_and_its_outcome_begins_on_it(policy, protocol, cases):
    events = shop().events
    assert any(case.left for case in cases)
    assert not all(case.left for case in cases)
    for case in cases[::7]:
        days = [event.occurred_at // 86_400_000 for event in events[case.customer_id]]
        amount = {day: event.lines[0].net_amount for day, event in zip(days, events[case.customer_id], strict=True)}
        before = [day for day in days if day < case.day]
        assert case.who.last == max(before)
        assert len(before) >= 3
        assert case.day - case.who.last < protocol.horizon
        assert case.left == (not any(case.day <= day < case.day + protocol.horizon for day in days))
        assert case.next == sum(amount[day] for day in days if case.day <= day < case.day + 90)
        year = sum(amount[day] for day in before if day >= case.day - 364)
        assert case.usual == pytest.approx(year / min(365, case.day - min(before)))


def test_R5_those_who_fell_silent_are_followed_to_the_end_of_the_horizon_and_no_further(policy, protocol):
    days, events = range(protocol.test[0], protocol.test[-1]), shop().events
    found = silences(shop(), days, protocol.end, policy)
    wanted = set()
    for name, own in events.items():
        bought = [event.occurred_at // 86_400_000 for event in own]
        for place, last in enumerate(bought):
            then = bought[place + 1] if place + 1 < len(bought) else protocol.end
            if place >= 2 and last in days and then > last + protocol.horizon:
                wanted.add((name, last))
    assert wanted
    assert {(one.customer_id, one.last) for one in found} == wanted
    for one in found:
        assert [case.day for case in one.cases] == list(range(one.last + 1, one.last + protocol.horizon))
        assert all(case.who.last == one.last for case in one.cases)


def test_R5_months_begin_on_their_first():
    epoch = date(1970, 1, 1).toordinal()
    found = firsts_of_months(date(2017, 11, 15).toordinal() - epoch, date(2018, 2, 1).toordinal() - epoch)
    assert [date.fromordinal(day + epoch).isoformat() for day in found] == ["2017-11-01", "2017-12-01", "2018-01-01"]


def test_R5_a_short_history_is_refused_with_what_it_lacks(policy):
    with pytest.raises(LoyaltyError, match="too short"):
        protocol_of(shop(until=START + 150), policy)
    with pytest.raises(LoyaltyError, match="nobody has bought"):
        protocol_of(Histories(), policy)


# ---- the whole


@pytest.fixture(scope="module")
def whole(policy: Policy):
    return evaluate(shop(), policy)


def test_R5_every_score_is_measured_and_the_fitted_one_adds_up(policy, protocol, cases, whole):
    names = [row.name for row in whole.rows]
    assert len(set(names)) == len(names)
    assert FITTED in names
    assert all(one.low <= one.value <= one.high for row in whole.rows for one in (row.measures["auc"], row.found))
    train = [case for case in cases if case.day in protocol.train]
    weights = fitted_weights(train)
    assert weights.weights[0] >= 0
    assert weights.weights[1] >= 0
    (chance,) = scores_of(train, weights, policy, policy)[FITTED](train[:1])
    total = weights.intercept + sum(w * s for w, s in zip(weights.weights, train[0].signals, strict=True))
    assert chance == pytest.approx(1 / (1 + exp(-total)))
    assert len(train[0].signals) == len(Signals._fields)


def test_R5_drift_says_what_happened_and_is_mended_on_test_reviews_alone(whole, protocol, cases):
    assert [one.role for one in whole.months if one.mended is not None] == ["test"] * 3
    for day, month in zip(protocol.days, whole.months, strict=True):
        left = [case.left for case in cases if case.day == day]
        assert month.cases == len(left)
        assert month.happened == pytest.approx(sum(left) / len(left))


def test_R6_no_ranking_holds_more_of_the_decline_than_the_decline_itself(whole, cases, protocol):
    share = {one.name: one.share.value for one in whole.fading}
    assert max(share, key=lambda name: share[name]) == "the decline itself (best possible)"
    test = [case for case in cases if case.day in protocol.test]
    assert (declines(test) >= 0).all()
    assert 0.0 < whole.decline_of_leavers < 1.0


def test_R5_the_same_history_writes_the_same_bytes(whole, tmp_path: Path):
    first, second = (write(tmp_path / name, {"history": whole}) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert {path.name for path in first} == {
        "risk.md", "history-auc.svg", "history-calibration.svg", "history-months.svg",
    }  # fmt: skip
    page = first[0].read_text()
    assert all(f"| {row.name} |" in page for row in whole.rows)
    assert all((first[0].parent / part.partition(")")[0]).exists() for part in page.split("](")[1:])
    assert as_json(whole)["horizon_days"] == 60
    assert all(rows for _, rows in tables(whole))
