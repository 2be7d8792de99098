"""E1: what is counted of those in charge is what a plain count over the views gives, however customers change hands."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors import tier
from processors.events import Served
from processors.owners import NUMBERS, InCharge, in_charge, served
from processors.policy import load_policy
from processors.view import view
from streams.programme import CATALOGUE, programme_figures
from streams.serving import Graded, employees
from tests.core.driving import Partition, plainly
from tests.core.events import sale
from tests.strategies import DAY_MS

T = 1_725_000_000_000
TEXT = """
[programme]
name = "shop"
version = 1
currency = "USD"
[[tiers]]
name = "member"
[risk]
lost = { gaps = 2.0, least_days = 60, most_days = 120 }
[employees]
span_days = 200
[[care]]
kind = "KEEP_IN_TOUCH"
shape = "silence"
on = "owner"
lead_days = 8
"""
POLICY = load_policy(TEXT)
OWNERS = ("eve", "adam", "a:b", None)


def profile(name: str, at: int, owner: str | None, **more: object) -> dict[str, Any]:
    return {
        "topic": "customers", "event_id": f"p{at}{owner}", "customer_id": name, "occurred_at": at, "joined_at": at,
        "employee_id": owner, **more,
    }  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[Any]:
    events: list[Any] = []
    for number in range(draw(st.integers(1, 25))):
        name, at = draw(st.sampled_from(("anna", "bo", "chen"))), T + draw(st.integers(0, 500)) * DAY_MS + number
        if draw(st.booleans()):
            events.append(sale(at, draw(st.integers(1, 9_000)), number, customer_id=name))
        else:
            events.append(profile(name, at, draw(st.sampled_from(OWNERS)), staff=draw(st.integers(0, 9)) == 0))
    return sorted(events, key=lambda event: event["occurred_at"])


def plain_count(partition: Partition) -> dict[str, InCharge]:
    """By the views as of the last reviews."""
    found: dict[str, Counter[str]] = {}
    for one in partition.customers.values():
        seen = view(one, partition.policy)
        owner, first = seen["employee_id"], seen["first_purchase_at"]
        if owner is None or seen["staff"]:
            continue
        day = partition.policy.calendar.day_of
        lost, bought = seen["risk_level"] == "LOST", first is not None
        before = first is not None and day(int(first)) <= day(one.now) - 365
        own = found.setdefault(str(owner), Counter())
        own.update(customers=1, lost=lost, buyers=bought, kept=bought and not lost, before=before)
        own.update(renewed=before and int(str(seen["purchases_365d"])) > 0)
        own.update(value=0 if lost else int(str(seen["value_365d"])), equity=0 if lost else int(str(seen["clv"] or 0)))
    return {owner: InCharge(**{name: int(own[name]) for name in NUMBERS}) for owner, own in found.items()}


@given(logs(), st.integers(0, 900), st.data())
@settings(max_examples=150, deadline=None)
def test_E1_counters_are_a_plain_count_whoever_changes_hands(log, days, data):
    partition = Partition(POLICY)
    for event in plainly(log):
        partition.run([event] if data.draw(st.booleans()) else [event, event.occurred_at])
    partition.run([log[-1]["occurred_at"] + days * DAY_MS])
    assert in_charge(partition.counts) == plain_count(partition)
    other = load_policy(TEXT.replace("version = 1", "version = 2").replace("60", "90"))
    partition.around_is(tier.surroundings(other, partition.clock or 0), other)
    assert in_charge(partition.counts) == plain_count(partition)
    partition.erase("anna")
    assert in_charge(partition.counts) == plain_count(partition)


COUNTS = {
    "charge:customers:eve": 3, "charge:buyers:eve": 2, "charge:kept:eve": 1, "charge:lost:eve": 1,
    "charge:customers:a:b": 1, "in_time:eve": 3, "missed:eve": 1, "in_time:zoe": 2, "graded:old": 1,
    "complaints_rated:employee:eve": 2, "complaints_satisfaction:employee:eve": 9, "complaints_rated:store:s1": 2,
    "kept:employee:eve": 3, "broken:employee:eve": 1, "charge:customers:gone": 0, "grade:senior": 2,
}  # fmt: skip


def test_E1_who_serves_is_who_has_anybody_or_has_had_anything_to_do_or_has_a_grade() -> None:
    assert served(COUNTS) == {
        "eve": Served("eve", customers=3, buyers=2, kept=1, in_time=3, missed=1, rated=2, satisfaction=9),
        "a:b": Served("a:b", customers=1),
        "zoe": Served("zoe", in_time=2),
        "old": Served("old"),
    }


def test_E1_the_list_is_ranked_from_enough_customers_on_and_shows_the_grade() -> None:
    lines = employees(COUNTS, 3, {"eve": Graded("senior", T)})
    assert [(line.employee, line.rank, line.customers) for line in lines] == [
        ("eve", 1, 3), ("a:b", None, 1), ("old", None, 0), ("zoe", None, 0),
    ]  # fmt: skip
    eve = lines[0]
    assert (eve.retention, eve.in_time, eve.kept_rate, eve.satisfaction) == (0.5, 0.75, 0.75, 4.5)
    assert (eve.grade, eve.grade_since) == ("senior", T)
    assert lines[1].retention is None


def test_E1_E2_kpi_tells_the_same_numbers_and_a_bounded_number_of_employees() -> None:
    graded = load_policy(TEXT + '[[grades]]\nname = "adviser"\n[[grades]]\nname = "senior"\nmin_cases = 2\n')

    def figures(most: int | None) -> dict[tuple[str, ...], Any]:
        made = programme_figures(COUNTS, graded, T, most)
        assert all(one.name in CATALOGUE for one in made)
        return {(one.name, *one.labels.values()): one.value for one in made}

    found = figures(None)
    for line in employees(COUNTS, graded.employees.least_cases):
        assert found["loyalty_employee_customers", line.employee] == line.customers
        assert found["loyalty_employee_retention_ratio", line.employee] == line.retention
        assert found["loyalty_employee_in_time_ratio", line.employee] == line.in_time
        assert found["loyalty_employee_satisfaction", line.employee] == line.satisfaction
    assert (found["loyalty_employees", "adviser"], found["loyalty_employees", "senior"]) == (0, 2)
    named = {name[1] for name in figures(2) if name[0] == "loyalty_employee_customers"}
    assert named == {"eve", "a:b"}, "those with the most customers"
    assert not [name for name in figures(0) if name[0].startswith("loyalty_employee_")]
