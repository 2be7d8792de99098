"""E2: grades of employees against a plain oracle, whatever the batches, the slices and the ticks were."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import tier
from processors.customer import Customer
from processors.days import DAY_MS
from processors.events import Forgotten, Served, Serving
from processors.figures import count
from processors.grade import EMPLOYEE_BYTES_MAX, gradable, inside
from processors.outputs import GradeStep
from processors.policy import load_policy
from schemas.codec import read
from schemas.partitioner import partition_of
from schemas.topics import EMPLOYEE_GRADES, RELAY, TICKS, TOLD
from sinks.access import KafkaAccess
from streams import grading
from streams.leader import SHARES_AGAIN_S, LiveClock
from streams.serving import Graded
from tests.core.driving import Partition
from tests.core.test_partition import FIRST, Driven, P
from tests.oracle import grades as plain

T = 1_725_000_000_000
HEAD = """
[programme]
name = "shop"
version = 1
currency = "USD"
time_zone = "{zone}"
[[tiers]]
name = "member"
[tier_rules]
grace_days = {grace}
one_step_down = {step}
"""
GRADES = """
[[grades]]
name = "adviser"
[[grades]]
name = "senior"
min_cases = 2
min_retention = 0.5
[[grades]]
name = "head"
min_cases = 3
min_retention = 0.75
min_in_time = 0.9
min_satisfaction = 4.5
"""
TEXT = HEAD.format(zone="UTC", grace=10, step="false") + GRADES
GOOD = Served("eve", customers=4, buyers=4, kept=3, in_time=9, missed=1, rated=2, satisfaction=9)
FAIR = Served("eve", customers=4, buyers=4, kept=2, in_time=9, missed=1, rated=2, satisfaction=9)
POOR = Served("eve", customers=1, buyers=0, kept=0)


def serving(at: int, served: Served, number: int = 0) -> Serving:
    return Serving(event_id=f"tick:{number}", customer_id=inside(served.employee_id), occurred_at=at, served=served)


def told(partition: Partition, employee: str = "eve") -> list[plain.Change]:
    return [(one.at, one.from_grade, one.to_grade) for one in partition.grades if one.customer_id == employee]


def parsed(text: str) -> dict[str, Any]:
    return tomllib.loads(text, parse_float=Decimal)


@st.composite
def policies(draw: st.DrawFn) -> str:
    zone = draw(st.sampled_from(["UTC", "America/New_York", "Asia/Shanghai"]))
    step = draw(st.sampled_from(["true", "false"]))
    text = HEAD.format(zone=zone, grace=draw(st.sampled_from([0, 1, 10, 30])), step=step) + '[[grades]]\nname = "g0"\n'
    for rank in range(1, draw(st.integers(1, 4)) + 1):
        asked = {
            "min_cases": draw(st.none() | st.integers(0, 5)),
            "min_retention": draw(st.none() | st.sampled_from(["0.5", "0.75", "1"])),
            "min_in_time": draw(st.none() | st.sampled_from(["0", "0.34", "0.9"])),
            "min_satisfaction": draw(st.none() | st.sampled_from(["1", "3.5", "5"])),
        }
        if all(need is None for need in asked.values()):
            asked["min_cases"] = rank
        text += f'[[grades]]\nname = "g{rank}"\n' + "".join(f"{k} = {v}\n" for k, v in asked.items() if v is not None)
    return text


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[int, Served]]:
    """How one employee serves, at rising instants; the same twice at times, two at one instant at times."""
    at, found = T, []
    for _ in range(draw(st.integers(1, 8))):
        at += draw(st.sampled_from([0, 1, DAY_MS, 10 * DAY_MS, 30 * DAY_MS, 3 * DAY_MS + 7]))
        buyers, rated = draw(st.integers(0, 4)), draw(st.integers(0, 2))
        one = Served(
            "eve", draw(st.integers(0, 5)), buyers, draw(st.integers(0, buyers)), draw(st.integers(0, 3)),
            draw(st.integers(0, 2)), rated, draw(st.integers(rated, 5 * rated)),
        )  # fmt: skip
        found.append((at, one))
    return found


def fields(served: Served) -> dict[str, int]:
    return {name: getattr(served, name) for name in Served.__struct_fields__ if name != "employee_id"}


@given(policies(), rows(), st.data())
@settings(max_examples=200, deadline=None)
def test_E2_what_is_told_equals_the_oracle_for_every_batch_split_and_tick_spacing(text, told_rows, data):
    last = told_rows[-1][0] + data.draw(st.integers(0, 100)) * DAY_MS
    log: list[Any] = []
    before = T
    for number, (at, one) in enumerate(told_rows):
        log += sorted(data.draw(st.lists(st.integers(before, at), max_size=2)))
        log += [at, serving(at, one, number)]
        log += data.draw(st.sampled_from([[], [None], [serving(at, one, number)]]))  # a slice says it again
        before = at
    partition = Partition(load_policy(text)).run([*log, last])
    wanted, holds = plain.changes([(at, fields(one)) for at, one in told_rows], last, parsed(text))
    assert told(partition) == wanted
    assert partition.customers[inside("eve")].told.tier == holds
    ids = [one.event_id for one in partition.grades]
    assert len(ids) == len(set(ids))
    assert {name: n for name, n in partition.counts.items() if n} == {f"grade:{holds}": 1, "graded:eve": 1}


def test_E2_up_at_once_with_the_tightest_condition_and_what_the_next_asks() -> None:
    partition = Partition(load_policy(TEXT)).run([T, serving(T, FAIR)])
    (up,) = partition.grades
    assert (up.from_grade, up.to_grade, up.direction) == ("adviser", "senior", "UP")
    assert (up.code, up.have, up.need) == ("min_retention", 0.5, 0.5)
    assert up.figures == {"cases": 4.0, "retention": 0.5, "in_time": 0.9, "satisfaction": 4.5}
    assert up.next_grade == "head"
    assert up.to_next == (
        GradeStep("min_cases", 4.0, 3.0), GradeStep("min_retention", 0.5, 0.75),
        GradeStep("min_in_time", 0.9, 0.9), GradeStep("min_satisfaction", 4.5, 4.5),
    )  # fmt: skip


def test_E2_down_after_the_grace_at_its_own_instant_and_a_day_back_resets_it() -> None:
    day = DAY_MS
    log = [T, serving(T, GOOD), T + day, serving(T + day, POOR), T + 9 * day, serving(T + 9 * day, GOOD)]
    partition = Partition(load_policy(TEXT)).run([*log, T + 40 * day])
    assert told(partition) == [(T, "adviser", "head")]
    partition.run([T + 41 * day, serving(T + 41 * day, POOR), T + 60 * day])
    assert told(partition)[1:] == [(T + 51 * day, "head", "adviser")]
    down = partition.grades[-1]
    assert (down.direction, down.code, down.have, down.need) == ("DOWN", "min_retention", None, 0.75)
    assert down.figures == {"cases": 1.0}


def test_E2_another_policy_decides_again_at_its_tick() -> None:
    partition = Partition(load_policy(TEXT)).run([T, serving(T, FAIR)])
    strict = load_policy(TEXT.replace("min_cases = 2", "min_cases = 5").replace("grace_days = 10", "grace_days = 0"))
    partition.around_is(tier.surroundings(strict, T), strict)
    assert told(partition) == [(T, "adviser", "senior"), (T, "senior", "adviser")]
    assert partition.grades[-1].code == "min_cases"
    ids = {one.event_id for one in partition.grades}
    bare = load_policy(HEAD.format(zone="UTC", grace=10, step="false"))
    partition.around_is(tier.surroundings(bare, T), bare)
    assert len(partition.grades) == 2 == len(ids)
    assert partition.customers[inside("eve")].told.tier == "adviser", "what was told stands without grades"


def test_E2_who_is_erased_is_told_afresh() -> None:
    partition = Partition(load_policy(TEXT)).run([T, serving(T, GOOD)])
    partition.erase("eve")
    (gone,) = partition.parts
    assert isinstance(gone, Forgotten)
    partition.run([gone])
    assert inside("eve") not in partition.customers
    assert not {name for name, n in partition.counts.items() if n and name.startswith("grade")}
    partition.run([T + 1, serving(T, GOOD), serving(T + 1, GOOD)])
    assert told(partition) == [(T, "adviser", "head"), (T + 1, "adviser", "head")]


def test_E2_an_erase_of_another_leaves_the_grade() -> None:
    partition = Partition(load_policy(TEXT)).run([T, serving(T, GOOD)])
    partition.run([Forgotten(event_id="x", customer_id=inside("eve"), occurred_at=T, into="adam")])
    assert inside("eve") in partition.customers


def test_E2_who_has_a_grade_is_in_no_figure_of_customers() -> None:
    partition = Partition(load_policy(TEXT)).run([T, serving(T, GOOD)])
    counts: Any = partition.counts.copy()
    count(counts, [(partition.customers[inside("eve")], None)], partition.policy)
    assert not {name: n for name, n in counts.items() if n}


@pytest.mark.parametrize(("employee", "can"), [("", False), ("e", True), ("e" * 122, True), ("ü" * 62, False)])
def test_E2_an_id_that_no_customer_could_have_has_no_grade(employee: str, can: bool) -> None:
    assert gradable(employee) is can
    assert EMPLOYEE_BYTES_MAX == 122


# -- through the loop


def loop(**config: Any) -> Driven:
    graded = load_policy(FIRST.text.partition("[[grades]]")[0] + GRADES)
    one = Driven(policy=graded, **config)
    one.policies[graded.key] = graded
    return one


HERE, THERE = (
    next(name for name in (f"e{n}" for n in range(99)) if (partition_of(inside(name).encode(), 2) == P) is here)
    for here in (True, False)
)


def row(employee: str, **more: int) -> dict[str, Any]:
    return {"employee_id": employee, **fields(GOOD), **more}


def published(one: Driven, topic: str) -> list[Any]:
    return [record for commit in one.commits for record in commit.outbox if record.topic == topic]


def test_E2_a_tick_decides_the_grades_of_those_who_are_placed_here() -> None:
    one = loop()
    one.tick(T, served=[row(HERE), row(THERE)])
    one.run()
    (record,) = published(one, EMPLOYEE_GRADES)
    assert record.key == HERE.encode() == (record.customer_id or "").encode()
    change = read(EMPLOYEE_GRADES, record.value)
    assert (change["employee_id"], change["customer_id"], change["to_grade"]) == (HERE, HERE, "head")
    assert change["reason"] == "of the buyers in their charge 75% have stayed; head needs 75%"
    assert change["event_id"] == f"{EMPLOYEE_GRADES}:{HERE}:{T}:adviser:head"
    headers = dict(record.headers)
    assert (headers["ce_type"], headers["grade"]) == (b"loyalty.v1.EmployeeGrade", b"head")
    (last,) = published(one, TOLD)
    assert (last.key, read(TOLD, last.value)["tier"]) == (inside(HERE).encode(), "head")
    assert not one.store.partition(P).views, "a grade has no view"


def test_E2_a_tick_before_the_clock_says_nothing_and_one_at_it_does() -> None:
    one = loop()
    one.tick(T + 5)
    one.tick(T + 4, served=[row(HERE)])
    one.run()
    assert not published(one, EMPLOYEE_GRADES)
    one.tick(T + 5, served=[row(HERE)])
    one.run()
    assert len(published(one, EMPLOYEE_GRADES)) == 1


@pytest.mark.parametrize("size", [{"due_slice": 1}, {"batch_records": 1}, {"due_slice": 2, "cache": 1}])
def test_E2_slices_of_a_tick_tell_it_once(size: dict[str, int]) -> None:
    one = loop(**size)
    for name in (f"c{n}" for n in range(40)):
        if partition_of(name.encode(), 2) == P:
            one.buy(name, T)
    year = T + 366 * DAY_MS
    one.tick(T)
    one.run()
    one.tick(year, served=[row(HERE)])  # all others are due, too
    one.tick(year + DAY_MS, served=[row(HERE, customers=0)])
    one.tick(year + 20 * DAY_MS)
    one.run()
    ups = [commit for commit in one.commits if any(record.topic == EMPLOYEE_GRADES for record in commit.outbox)]
    assert TICKS in ups[0].positions_to, "what a tick says is told as its offset moves: a recovery reads it again else"
    told = [read(EMPLOYEE_GRADES, record.value) for record in published(one, EMPLOYEE_GRADES)]
    assert [(change["at"], change["to_grade"]) for change in told] == [
        (year, "head"), (year + 11 * DAY_MS, "adviser"),
    ]  # fmt: skip


def test_E2_the_null_of_a_customer_tells_the_partition_of_the_grade() -> None:
    one = loop()
    one.tick(T, served=[row(HERE)])
    mine = next(name for name in (f"c{n}" for n in range(40)) if partition_of(name.encode(), 2) == P)
    one.erase(mine, T + 1)
    one.run()
    (record,) = published(one, RELAY)
    relayed = read(RELAY, record.value)
    assert (relayed["kind"], relayed["customer_id"], relayed["other_id"]) == ("FORGOTTEN", inside(mine), mine)


# -- what ticks have to say


class Now:
    """What `CustomersNow` reads, at hand."""

    partitions = 2

    def __init__(self, counts: dict[str, int], states: dict[str, Customer]) -> None:
        self._counts, self._states = counts, states

    def figures(self) -> dict[str, int]:
        return self._counts

    def several(self, ids: Iterable[str]) -> dict[str, Customer]:
        return {name: self._states[name] for name in ids if name in self._states}


def test_E2_ticks_say_what_is_new_to_the_partition_that_decides() -> None:
    graded = load_policy(TEXT)
    counts = {f"charge:customers:{name}": 4 for name in (HERE, THERE, "e" * 123)} | {f"graded:{HERE}": 1}
    now: Any = Now(counts, {})
    here, there = Served(HERE, customers=4), Served(THERE, customers=4)
    assert grading.news(now, graded) == {P: (here,), 1 - P: (there,)}
    partition = Partition(graded).run([T, serving(T, here)])
    now = Now(counts, partition.customers)
    assert grading.news(now, graded) == {1 - P: (there,)}
    assert grading.grades(now, graded) == {HERE: Graded("adviser", None)}
    now = Now({f"graded:{HERE}": 1}, partition.customers)
    assert grading.news(now, graded) == {P: (Served(HERE),)}, "nobody is in their charge any more"
    done = Partition(graded).run([T, serving(T, Served(HERE, customers=4, in_time=9, missed=1))]).customers
    again: Any = Now(counts | {f"in_time:{HERE}": 2}, done)
    assert grading.news(again, graded) == {1 - P: (there,)}, "a Redis filled again has counted fewer reminders"
    again = Now(counts | {f"in_time:{HERE}": 5, f"missed:{HERE}": 6}, done)
    assert grading.news(again, graded) == {P: (Served(HERE, customers=4, in_time=5, missed=6),), 1 - P: (there,)}
    assert grading.news(Now({}, {}), graded) is None  # type: ignore[arg-type]
    assert grading.news(now, FIRST_BARE) is None
    assert grading.grades(now, FIRST_BARE) == {}


FIRST_BARE = load_policy(HEAD.format(zone="UTC", grace=10, step="false"))


def test_E2_the_live_clock_says_it_with_a_days_first_ticks_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "ROWS_MAX", 2)
    rows = tuple(Served(f"e{n}", customers=n) for n in range(5))
    answers: list[Any] = [None, {0: rows, 1: rows[:1]}, {}, {0: rows[:1]}]
    clock = LiveClock(KafkaAccess("127.0.0.1:1"), load_policy(TEXT), 1_000, served=lambda: answers.pop(0))

    def at(ms: int) -> Any:
        """What ticks at `ms` say, and that they were written."""
        carried = asyncio.run(clock._serving(ms))
        clock._rows = grading.rest_of(clock._rows)
        return carried

    day = T - T % DAY_MS
    assert at(day) == {}
    assert at(day + 1) == {}, "not asked again so soon"
    clock._served_asked -= SHARES_AGAIN_S
    assert at(day + 2) == {0: rows[:2], 1: rows[:1]}
    assert at(day + 3) == {0: rows[2:4]}
    assert at(day + 4) == {0: rows[4:]}
    clock._served_asked -= SHARES_AGAIN_S
    assert at(day + 5) == {}, "told today"
    assert at(day + DAY_MS) == {}, "nothing is new on the second day"
    clock._served_asked -= SHARES_AGAIN_S
    assert at(day + 2 * DAY_MS - 1) == {}
    assert at(day + 2 * DAY_MS) == {0: rows[:1]}
    clock._served_asked -= SHARES_AGAIN_S
    assert at(day + 3 * DAY_MS) == {}, "Redis is away: the tick goes without"
