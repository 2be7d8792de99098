"""The partition's loop, driven by hand: record sets in, commits out, the store in memory."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from itertools import count, islice
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from processors import step
from processors.customer import Customer, Told
from processors.days import DAY_MS
from processors.history import Kin, on_day
from schemas import state
from schemas.codec import read, write
from schemas.customer_value import encode_view
from schemas.partitioner import partition_of
from schemas.told import LastTold
from schemas.topics import (
    CONTACTS,
    CUSTOMER_VALUE,
    CUSTOMERS,
    DEAD_LETTERS,
    IDENTITIES,
    INPUTS,
    PURCHASES,
    TICKS,
    TIER_CHANGES,
    TOLD,
)
from sinks.commit import Answer, Commit, Load, Loaded
from sinks.memory import MemoryStore
from streams.bound import Bound
from streams.outgoing import Outgoing
from streams.partition import AskEnds, Fenced, NeedPolicy, PartitionLoop
from streams.plan import LoopConfig
from streams.recovery import Recovery, Target, back_again
from streams.texts import wording
from streams.time_order import End
from tests.core.test_time_order import Record
from tests.simulation.shop import HORIZON, HOUR, Shop, policy, shop_year

T = 1_725_000_000_000
P = 0
NAMES = [name for name in (f"c{n}" for n in range(40)) if partition_of(name.encode(), 2) == P][:8]
ANNA, BO = NAMES[0], NAMES[1]
FIRST = policy(1, "UTC", 8_000, "min_referrals_365d = 2", 10, "false")
SECOND = policy(2, "UTC", 12_000, "min_referrals_365d = 2", 10, "false")
STEPS_MAX = 100_000


class Driven:
    """One partition, its logs and its store. `run` does all there is to do, `step` one effect."""

    def __init__(self, **config: Any) -> None:
        self.store = MemoryStore(erase_key=b"k")
        self.policies = {one.key: one for one in (FIRST, SECOND)}
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.ends: dict[str, int] = {}
        self.commits: list[Commit] = []
        self.loads: list[Load] = []
        self.asked_for: list[str] = []
        plain: dict[str, Any] = {"partitions": 2, "policy": FIRST, "horizon_ms": HORIZON}
        self.config = LoopConfig(outgoing=Outgoing(self.store.mark, wording), **(plain | config))
        self.take_over()

    def take_over(self) -> PartitionLoop:
        """A new owner: what was written is handed over again."""
        self.loop = PartitionLoop(P, self.store.take_epoch(P), self.config)
        self.handed = dict(self.loop.positions)
        return self.loop

    def put(self, topic: str, value: bytes | None, *, at: int, key: str | None = None) -> None:
        log = self.logs[topic]
        log.append(Record(len(log), at, None if key is None else key.encode(), value))

    def tick(self, at: int, **more: Any) -> None:
        self.put(TICKS, write(TICKS, {"at": at, **more}), at=at)

    def buy(self, name: str, at: int, amount: int = 9_000, **more: Any) -> None:
        fields = {
            "event_id": f"{PURCHASES}-{len(self.logs[PURCHASES])}", "customer_id": name, "occurred_at": at,
            "kind": "SALE", "store_id": "s", "currency": "USD",
            "lines": [{"category": "cd", "quantity": 1, "net_amount": amount}],
        } | more  # fmt: skip
        self.put(PURCHASES, write(PURCHASES, fields), at=at, key=name)

    def erase(self, name: str, at: int) -> None:
        self.put(CUSTOMERS, None, at=at, key=name)

    def end_of(self, topic: str) -> int:
        return max(self.ends.get(topic, 0), len(self.logs[topic]))

    def hand_over(self) -> None:
        """All there is."""
        for topic in INPUTS:
            self.deliver(topic, self.end_of(topic))

    def deliver(self, topic: str, position: int) -> None:
        """One record set, up to `position`, from the beginning: what was handed over before is refused."""
        self.loop.receive(topic, self.logs[topic][:position], position)
        self.handed[topic] = position

    def step(self) -> bool:
        """One effect and its answer. False: there is nothing to do."""
        effect = self.loop.work()
        match effect:
            case Load():
                self.loads.append(effect)
                self.loop.loaded(self.store.load(P, effect) if effect != Load(()) else Loaded({}))
            case Commit():
                self.commits.append(effect)
                self.loop.committed(self.store.commit(effect))
            case AskEnds():
                ends = {topic: End(self.handed.get(topic, 0), self.end_of(topic)) for topic in INPUTS}
                self.loop.ends(ends, effect.asked)
            case NeedPolicy():
                self.asked_for.append(effect.key)
                self.loop.policy(self.policies[effect.key])
        return effect is not None

    def run(self) -> Driven:
        self.hand_over()
        for _ in range(STEPS_MAX):
            if not self.step():
                assert self.loop.idle
                return self
        raise AssertionError("the loop does not come to rest")

    # -- what came of it

    def customer(self, name: str) -> Customer | None:
        blob = self.store.partition(P).states.get(name)
        return None if blob is None else state.decode(blob)

    def sent(self, topic: str) -> list[Any]:
        """What left for `topic`, in order: fields, or None for a null."""
        records = (record for commit in self.commits for record in commit.outbox if record.topic == topic)
        return [None if record.value is None else read(topic, record.value) for record in records]

    def errors(self) -> list[tuple[str, str]]:
        """Of dead letters: (class, when)."""
        letters = (dict(r.headers) for c in self.commits for r in c.outbox if r.topic == DEAD_LETTERS)
        return [(one["dlq.error"].decode(), one["dlq.at"].decode()) for one in letters]

    def changes(self) -> list[tuple[str, int, str]]:
        return [(one["customer_id"], one["at"], one["to_tier"]) for one in self.sent(TIER_CHANGES)]


# -- one batch


def test_a_batch_is_one_load_and_one_commit_from_the_fence_to_behind_its_records() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.buy(BO, T + 1)
    one.tick(T + 2)
    one.run()
    (commit,) = one.commits
    assert commit.positions_from == {}
    assert commit.positions_to == {PURCHASES: 2, TICKS: 1}
    assert (commit.seq, commit.clock, commit.records) == (1, T + 2, 3)
    assert set(one.loads[-1].ids) == {ANNA, BO}
    assert one.changes() == [(ANNA, T, "silver"), (BO, T + 1, "silver")]


def test_the_next_commit_names_the_positions_it_started_from() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T)
    one.run()
    one.buy(BO, T + 1)
    one.run()
    assert one.commits[-1].positions_from == {PURCHASES: 1}
    assert one.commits[-1].positions_to == {PURCHASES: 2}


def test_records_below_the_fence_are_refused() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T)
    one.run()
    one.run()
    one.take_over()
    one.run()
    assert len(one.commits) == 1
    assert one.customer(ANNA).history.lifetime_purchases == 1  # type: ignore[union-attr]


def test_the_fence_passes_markers_behind_the_last_record() -> None:
    one = Driven()
    one.ends[PURCHASES] = 5
    one.buy(ANNA, T)
    one.tick(T)
    one.run()
    assert one.loop.positions[PURCHASES] == 5


def test_an_owner_whose_epoch_is_gone_is_fenced() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T)
    one.store.take_epoch(P)
    with pytest.raises(Fenced, match="partition 0"):
        one.run()
    assert one.customer(ANNA) is None


def test_a_commit_that_happened_is_sent_again_and_counts_once() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T)
    one.hand_over()
    while not isinstance(one.loop.work(), Commit):
        assert one.step()
    commit = one.loop.work()
    assert isinstance(commit, Commit)
    assert one.store.commit(commit) is Answer.DONE
    assert one.loop.work() == commit, "the reply was lost: the loop still asks for it"
    one.loop.committed(one.store.commit(commit))
    one.run()
    assert one.customer(ANNA).history.lifetime_purchases == 1  # type: ignore[union-attr]


def test_customers_in_the_cache_are_not_loaded_again() -> None:
    one = Driven(cache=1)
    for name in (ANNA, BO, BO, ANNA):
        one.buy(name, T)
        one.run()
    assert [load.ids for load in one.loads if load.ids] == [(ANNA,), (BO,), (ANNA,)]


def test_an_erased_customer_leaves_the_cache() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.run()
    one.erase(ANNA, T + 1)
    one.buy(BO, T + 2)
    one.run()
    one.buy(ANNA, T)
    one.run()
    assert one.loads[-1].ids == (ANNA,)
    assert one.customer(ANNA) is None, "its mark was read with the load"


# -- ticks


def test_a_tick_not_after_the_clock_changes_nothing_but_the_offset() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T + 9)
    one.run()
    before = one.store.fence(P)
    one.tick(T + 9, policy=SECOND.key)
    one.tick(T + 3)
    one.run()
    after = one.store.fence(P)
    assert after == replace(before, seq=after.seq, positions={**before.positions, TICKS: 3})
    assert all(not commit.writes and not commit.outbox for commit in one.commits[1:])


def test_the_offset_of_a_tick_moves_with_the_last_slice() -> None:
    one = Driven(due_slice=3)
    for name in NAMES:
        one.buy(name, T)
    one.tick(T)
    one.run()
    far = T + 400 * DAY_MS
    one.tick(far)
    begun = len(one.commits)
    one.run()
    slices = one.commits[begun:]
    assert [len(commit.writes) for commit in slices if not commit.positions_to] == [3, 3]
    assert slices[-1].positions_to == {TICKS: 2}
    assert {commit.clock for commit in slices[:-1]} == {T}
    assert one.loop.clock == far
    assert [at > far for at in one.store.partition(P).due.values()] == [True] * len(NAMES)


def test_slices_end_where_more_are_due_up_to_a_later_tick_than_up_to_the_first() -> None:
    one = Driven(due_slice=1)
    for name in NAMES:
        one.buy(name, T)
    one.tick(T)
    one.run()
    for day in (1, 2, 400):
        one.tick(T + day * DAY_MS)  # nobody is due at the first two
    one.run()
    assert one.loop.clock == T + 400 * DAY_MS


def test_a_batch_of_more_due_instants_than_a_slice_is_halved_and_the_next_ones_begin_as_small() -> None:
    """Each fold that is thrown away halves the next: of 256 days in one batch it is not thrown away once a day."""
    driven = Driven(batch_records=1_000, policy=policy(1, "UTC", 8_000, "min_referrals_365d = 2", 10, "false", 0))
    for name in NAMES:
        driven.buy(name, T)
    for day in range(1, 257):
        driven.tick(T + day * DAY_MS)
    folds, fold = [0], driven.loop._fold

    def counted(*args: Any) -> Any:
        folds[0] += 1
        return fold(*args)

    with patch.object(step, "DUE_STEPS_MAX", 2), patch.object(driven.loop, "_fold", counted):
        driven.run()
    assert all(
        customer is not None and customer.next_review > T + 256 * DAY_MS for customer in map(driven.customer, NAMES)
    )
    assert folds[0] < 100  # 476 where every day threw one away


def test_a_crash_between_slices_repeats_none() -> None:
    one = Driven(due_slice=2)
    for name in NAMES:
        one.buy(name, T)
    one.tick(T)
    one.run()
    one.tick(T + 400 * DAY_MS)
    one.hand_over()
    while one.commits[-1].positions_to:
        assert one.step()
    one.take_over()
    one.run()
    told = one.changes()
    assert len(told) == len(set(told)) == 2 * len(NAMES)


def test_an_event_waits_for_no_slice_of_a_tick_that_was_applied() -> None:
    one = Driven(due_slice=1)
    for name in NAMES:
        one.buy(name, T)
    one.tick(T)
    one.tick(T + 1, value_at_share={"0.2": 5}, policy=SECOND.key)
    one.buy(ANNA, T + 2)
    one.run()
    with_purchase = next(n for n, commit in enumerate(one.commits) if commit.positions_to == {PURCHASES: 9})
    assert with_purchase < len(one.commits) - 1, "others are still being reviewed under the new policy"


# -- policies


def test_a_policy_begins_with_the_tick_that_names_it() -> None:
    one = Driven()
    one.buy(ANNA, T, 9_000)
    one.tick(T, policy=SECOND.key)
    one.buy(BO, T + 1, 9_000)
    one.tick(T + 20 * DAY_MS)
    one.run()
    assert one.asked_for == [SECOND.key]
    assert one.changes() == [(ANNA, T, "silver"), (ANNA, T + 10 * DAY_MS, "member")]
    assert one.store.fence(P).policy == SECOND.key
    assert one.store.fence(P).since == T


def test_in_slices_a_plain_tick_does_not_take_over_the_policy_of_a_later_one() -> None:
    one = Driven(due_slice=1)
    for name in NAMES[:3]:
        one.buy(name, T)
    one.tick(T)
    one.run()
    first, second = T + 374 * DAY_MS, T + 376 * DAY_MS  # due at 365 and, their grace over, at 375
    one.tick(first)
    one.tick(second, policy=SECOND.key)
    one.run()
    keys = {commit.clock: commit.policy for commit in one.commits if TICKS in commit.positions_to}
    assert keys == {T: FIRST.key, first: FIRST.key, second: SECOND.key}
    assert one.store.fence(P).since == second


def test_a_new_owner_asks_for_the_policy_in_force() -> None:
    one = Driven()
    one.tick(T, policy=SECOND.key)
    one.run()
    one.take_over()
    one.buy(ANNA, T + 1, 9_000)
    one.run()
    assert one.asked_for == [SECOND.key] * 2
    assert one.changes() == []


def test_thresholds_may_come_at_the_instant_of_the_clock() -> None:
    top = policy(3, "UTC", 8_000, "min_value_share_rank = 0.2", 10, "false")
    one = Driven(policy=top)
    one.buy(ANNA, T, 50_000)
    one.tick(T + 5)
    one.run()
    one.tick(T + 5, value_at_share={"0.2": 40_000})
    one.run()
    assert one.changes() == [(ANNA, T, "silver"), (ANNA, T + 5, "top")]
    assert dict(one.store.fence(P).shares) == {"0.2": 40_000}


def test_a_due_entry_that_is_too_early_is_filed_anew() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T)
    one.run()
    held = one.store.partition(P).due
    right, held[ANNA] = held[ANNA], 0
    one.take_over()
    one.run()
    assert held == one.store.partition(P).due or one.store.partition(P).due == {ANNA: right}
    assert one.store.partition(P).due == {ANNA: right}


def test_more_due_entries_that_are_too_early_than_a_slice_holds_are_filed_anew() -> None:
    one = Driven(due_slice=5)
    here = (name for name in map("c{}".format, count()) if partition_of(name.encode(), 2) == P)
    for name in islice(here, 12):
        one.buy(name, T)
    one.tick(T)
    one.run()
    held = one.store.partition(P).due
    assert T + 3 * DAY_MS < min(held.values()) < T + 400 * DAY_MS
    held |= dict.fromkeys(held, T + 1)
    for day in (1, 2, 3, 400):  # that they are right lies between two ticks of one batch
        one.tick(T + day * DAY_MS)
    one.run()
    assert one.loop.clock == T + 400 * DAY_MS
    assert min(held.values()) > one.loop.clock


# -- how large a batch is


def test_the_next_batch_is_to_take_a_fifth_of_a_second() -> None:
    bound = Bound(1_000, 10_000)
    sizes = []
    for number, seconds in (
        (1_000, 0.02), (2_000, 0.1), (4_000, 0.16), (3_000, 0.1), (5_000, 0.22), (5_000, 0.4), (2_500, 9.0), (250, 0.0),
    ):  # fmt: skip
        bound.took(number, seconds)
        sizes.append(bound.now)
    assert sizes == [2_000, 4_000, 5_000, 5_000, 5_000, 2_500, 250, 500]


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [(1.0, [300, 250, 250, 250]), (0.2, [300, 300, 300, 150]), (0.15, [300, 400, 350]), (0.01, [300, 600, 150])],
)
def test_a_batch_is_as_large_as_its_fold_is_quick(seconds: float, sizes: list[int]) -> None:
    one = Driven(batch_records=800, batch_first=300, buffer_records=2_000)
    for n in range(1_050):
        one.buy(ANNA, T + n)
    loaded = one.loop.loaded

    def timed(answer: Loaded) -> None:
        loaded(answer)
        one.loop.took(seconds)

    one.loop.loaded = timed  # type: ignore[method-assign]
    one.run()
    assert [commit.records for commit in one.commits if commit.records] == sizes


@pytest.mark.parametrize(
    ("seconds", "sizes"), [(1.0, [300, 250, 250, 200]), (0.2, [300, 300, 300, 100]), (0.01, [300, 600, 100])]
)
def test_a_slice_of_those_due_is_as_large_as_its_fold_is_quick(seconds: float, sizes: list[int]) -> None:
    one = Driven(due_slice=800, batch_first=300, batch_records=2_000, buffer_records=2_000)
    here = (name for name in map("c{}".format, count()) if partition_of(name.encode(), 2) == P)
    for name in islice(here, 1_000):
        one.buy(name, T)  # a year on, each loses what they bought
    one.tick(T + DAY_MS)
    one.run()
    loaded = one.loop.loaded

    def timed(answer: Loaded) -> None:
        loaded(answer)
        one.loop.took(seconds)

    one.loop.loaded = timed  # type: ignore[method-assign]
    before = len(one.commits)
    one.tick(T + 366 * DAY_MS)
    one.run()
    assert [len(commit.writes) for commit in one.commits[before:] if commit.writes] == sizes


def test_a_batch_ends_with_the_last_tick_for_which_a_slice_of_those_due_is_whole() -> None:
    one = Driven(due_slice=10, batch_first=2_000, batch_records=2_000, buffer_records=2_000, cache=5)
    here = (name for name in map("c{}".format, count()) if partition_of(name.encode(), 2) == P)
    for day, name in enumerate(islice(here, 60)):
        one.buy(name, T + day * DAY_MS)  # a year on, each loses it on a day of their own
    one.tick(T + 365 * DAY_MS)
    one.run()
    loads, commits = len(one.loads), len(one.commits)
    others = list(islice(here, 180))
    for day in range(60):
        for name in others[day * 3 : day * 3 + 3]:
            one.buy(name, T + (365 + day) * DAY_MS + 1)
        one.tick(T + (366 + day) * DAY_MS)
    one.run()
    records = [commit.records for commit in one.commits[commits:] if commit.records]
    assert sum(records) == 60 * (3 + 1)
    assert max(records) > 3 * (3 + 1)
    assert len(one.loads) - loads == len(one.commits) - commits  # and none for nought
    assert sum(len(load.ids) for load in one.loads[loads:]) < 3 * len(others)


# -- what a batch spans makes no difference


def told_in_batches_of(size: int, *, erase: bool) -> tuple[list[Any], Any]:
    one = Driven(batch_records=size)
    one.buy(ANNA, T)  # silver
    one.tick(T)
    one.tick(T + 400 * DAY_MS)  # below since T + 365 d, down ten days later
    if erase:
        one.erase(ANNA, T + 401 * DAY_MS)
    else:
        one.put(CONTACTS, contact(ANNA, T + 401 * DAY_MS), at=T, key=ANNA)
        one.buy(ANNA, T + 370 * DAY_MS, 90_000)  # late: after the tick that it missed
        one.logs[PURCHASES][-1] = replace(one.logs[PURCHASES][-1], timestamp=T + 402 * DAY_MS)
    one.tick(T + 410 * DAY_MS)
    one.run()
    return one.changes(), one.customer(ANNA)


def contact(name: str, at: int) -> bytes:
    fields = {"event_id": "k", "customer_id": name, "occurred_at": at, "kind": "VISIT"}
    return write(CONTACTS, fields | {"direction": "IN", "channel": "app"})


@pytest.mark.parametrize("erase", [False, True])
def test_D1_what_is_told_around_a_late_event_or_an_erase_is_the_same_in_any_batches(erase: bool) -> None:
    wanted = told_in_batches_of(1, erase=erase)
    assert all(told_in_batches_of(size, erase=erase) == wanted for size in (2, 3, 4, 100))
    assert (ANNA, T + 1, "silver") not in wanted[0]


def driven(shop: Shop, sets: Random | None, **config: Any) -> Driven:
    """One partition of a simulator's shop (its relays go nowhere)."""
    one = Driven(partitions=shop.partitions, policy=shop.policy, **config)
    one.policies = shop.policies
    for row in shop.rows:
        if row.partition == P and row.kind == "record":
            one.logs[row.topic].append(Record(len(one.logs[row.topic]), row.at, row.key, row.value))
    while sets is not None and (left := [t for t in INPUTS if one.handed.get(t, 0) < len(one.logs[t])]):
        topic = sets.choice(left)
        one.deliver(topic, min(one.handed.get(topic, 0) + sets.randint(1, 30), len(one.logs[topic])))
        while one.step() and not isinstance(one.loop.work(), AskEnds):
            pass
    return one.run()


def by_customer(told: list[Any]) -> list[Any]:
    """In each customer's order."""
    return sorted(told, key=lambda one: one["customer_id"])


SMALL = st.sampled_from((1, 2, 3, 7, 40))


@settings(max_examples=25)
@given(st.integers(0, 10**6), SMALL, SMALL, SMALL)
def test_D1_what_is_told_is_the_same_for_any_batch_slice_cache_and_record_set(
    seed: int, batch: int, due_slice: int, cache: int
) -> None:
    shop = shop_year(Random(seed))
    wanted = driven(shop, None)
    found = driven(shop, Random(seed), batch_records=batch, due_slice=due_slice, cache=cache)
    assert found.store.partition(P).states == wanted.store.partition(P).states
    assert by_customer(found.sent(TIER_CHANGES)) == by_customer(wanted.sent(TIER_CHANGES))
    assert sorted(found.errors()) == sorted(wanted.errors())
    assert found.store.partition(P).kpi == wanted.store.partition(P).kpi


# -- erase, dead letters


def test_D4_an_erase_removes_state_view_and_due_entry_and_publishes_the_nulls() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T)
    one.erase(ANNA, T + 1)
    one.run()
    held = one.store.partition(P)
    assert (held.states, held.views, held.due) == ({}, {}, {})
    assert one.sent(CUSTOMER_VALUE) == [None]
    assert one.sent(TOLD)[-1] is None
    assert [(mark["mark"], mark["at"]) for mark in one.sent(IDENTITIES)] == [(one.store.mark(ANNA), T)]


def test_D4_events_up_to_the_erase_stay_away_and_later_ones_start_afresh() -> None:
    one = Driven()
    one.buy(ANNA, T)
    one.tick(T + 5)
    one.erase(ANNA, T + 6)
    one.run()
    one.buy(ANNA, T + 5)
    one.buy(ANNA, T + 7)
    one.run()
    assert one.customer(ANNA).history.lifetime_purchases == 1  # type: ignore[union-attr]
    assert one.customer(ANNA).history.first_at == T + 7  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [1, 100])
def test_D4_who_comes_back_is_told_again_though_it_is_the_same(size: int) -> None:
    """The null went out in between."""
    one = Driven(batch_records=size)
    one.buy(ANNA, T)
    one.erase(ANNA, T + 1)
    one.buy(ANNA, T + 2)
    one.run()
    last = one.sent(TOLD)[-1]
    held = one.customer(ANNA)
    assert held is not None
    assert Told(last["tier"], last["tier_since"], last["below_since"]) == held.told


@pytest.mark.parametrize("size", [1, 100])
def test_D6_an_unknown_currency_is_a_dead_letter_of_its_turn_and_changes_nothing(size: int) -> None:
    one = Driven(batch_records=size)
    one.tick(T)
    one.buy(ANNA, T + 1, currency="JPY")
    one.tick(T + 5)
    one.run()
    assert one.errors() == [("UnknownCurrency", str(T))]
    assert one.customer(ANNA) is None
    assert one.loop.positions[PURCHASES] == 1


def test_D6_an_amount_that_no_sum_can_hold_is_a_dead_letter_that_names_the_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("processors.customer.AMOUNT_END", 10_000)
    one = Driven()
    one.buy(ANNA, T, 9_000)
    one.buy(ANNA, T + 1, 9_000)
    one.buy(ANNA, T + 2, 900)
    one.run()
    (letter,) = (record for commit in one.commits for record in commit.outbox if record.topic == DEAD_LETTERS)
    headers = dict(letter.headers)
    assert headers["dlq.error"] == b"TooMuch"
    assert headers["dlq.message"].startswith(b"lines: the customer's sum would pass")
    assert one.customer(ANNA).history.lifetime_value == 9_900


def test_D6_sums_at_the_end_of_64_bits_leave_no_figure_that_cannot_be_kept() -> None:
    """What follows from a sum (times the years, plus kin's, less costs) would not fit where the sum still does."""
    one = Driven()
    one.buy(ANNA, T)
    one.buy(BO, T, referrer_id=ANNA)
    one.tick(T)
    one.run()
    for name, sign in ((ANNA, 1), (BO, -1)):
        customer = one.customer(name)
        assert customer is not None
        history, end = customer.history, sign * (2**63 - 10)
        sums = end - history.value, 0, 0, end - history.margin, -sign * 500
        changes = on_day(history, FIRST.calendar.day_of(T), *sums)
        kin = {BO: Kin(T, "OK", sign * 2**62)}
        history = replace(history, **changes, lifetime_value=end, lifetime_margin=end, kin=kin, referred={BO: T})
        one.store.partition(P).states[name] = state.encode(replace(customer, history=history))
    one.take_over()
    for days in (1, *range(30, 400, 10)):
        for name in (ANNA, BO):
            fields = {"event_id": f"k{days}", "customer_id": name, "occurred_at": T + days * DAY_MS, "kind": "VISIT"}
            value = write(CONTACTS, fields | {"direction": "IN", "channel": "store"})
            one.put(CONTACTS, value, at=T + days * DAY_MS, key=name)
        one.tick(T + days * DAY_MS)
        one.run()
        for view in one.store.partition(P).views.values():
            value, _ = encode_view(P, [part.encode() for pair in view.items() for part in pair])
            assert read(CUSTOMER_VALUE, value)["customer_id"] in (ANNA, BO)


# -- recovery


def recovery_of(one: Driven, target: Target) -> Recovery:
    one.loop = Recovery(P, one.store.take_epoch(P), target, one.config)
    one.hand_over()
    assert isinstance(one.loop, Recovery)
    return one.loop


def test_a_recovery_that_is_cut_short_is_known_as_one_however_many_commits_it_made() -> None:
    one = Driven(batch_records=1)
    for n in range(6):
        one.buy(ANNA, T + n * HOUR)
    told = {ANNA: LastTold(T + 3 * HOUR, Told("gold", T + 3 * HOUR, None))}
    target = Target(1, T + 6 * HOUR, {PURCHASES: 6}, told)  # all of it was one commit, and published
    recovery_of(one, target)
    while one.store.fence(P).seq < 4:
        assert one.step()
    assert one.store.fence(P).recovers
    again = recovery_of(one, target)
    while not again.done:
        assert one.step()
    fence = one.store.fence(P)
    assert (fence.recovers, fence.clock, fence.positions) == (False, T + 6 * HOUR, {PURCHASES: 6})
    one.take_over()
    one.run()
    assert one.customer(ANNA).told == told[ANNA].told  # type: ignore[union-attr]
    assert one.changes() == [], "nothing is told twice"


def test_D4_a_recovery_brings_nobody_back_whose_null_has_left_the_log() -> None:
    """Compaction took it; a Redis that fell back behind it still knows them."""
    one = Driven()
    one.buy(ANNA, T)
    one.buy(BO, T)
    one.run()  # anna is known here, bo is not any more: both were erased later, and bo bought again
    before = deepcopy(one.store.partitions)
    one.buy(BO, T + HOUR)
    one.buy(BO, T + 3 * HOUR)
    erased = {one.store.mark(ANNA): T + 2 * HOUR, one.store.mark(BO): T + 2 * HOUR}
    for partitions in (before, {}):
        one.store.partitions = deepcopy(partitions)
        returned = back_again(one.store.names(P), one.store.mark, erased)
        recovery = recovery_of(one, Target(9, T + 4 * HOUR, {PURCHASES: 4}, {}, erased, returned))
        while not recovery.done:
            assert one.step()
        one.take_over()
        one.run()
        assert one.customer(ANNA) is None
        came_back = one.customer(BO)
        assert came_back is not None
        assert (came_back.history.lifetime_purchases, came_back.history.not_before) == (1, T + 2 * HOUR)
        counted = one.store.partition(P).kpi.items()
        assert sum(n for name, n in counted if name.startswith("customers:")) == 1


def test_idea_8_who_was_told_of_an_instant_ahead_of_the_clock_is_not_reviewed_before_it_again() -> None:
    """A slice tells of what its batch's last tick made due; the clock moves with the last slice."""
    one = Driven()
    one.buy(ANNA, T)
    one.buy(BO, T)
    told = {ANNA: LastTold(T + 5 * HOUR, Told("gold", T + 5 * HOUR, None))}
    recovery = recovery_of(one, Target(9, T + HOUR, {PURCHASES: 2}, told))
    while not recovery.done:
        assert one.step()
    one.take_over()
    one.run()
    assert [one.customer(name).now for name in (ANNA, BO)] == [T + 5 * HOUR, T + HOUR]  # type: ignore[union-attr]


def test_D1_a_redis_that_fell_back_behind_what_was_laid_over_takes_no_leap() -> None:
    """Laying moves no position, nor does the leap: only the number tells that something is missing."""
    one = Driven()
    one.buy(ANNA, T)
    told = {ANNA: LastTold(T, Told("gold", T, None))}
    recovery_of(one, Target(9, T + HOUR, {PURCHASES: 1}, told))
    while one.store.fence(P).positions.get(PURCHASES) != 1:
        assert one.step()
    before = deepcopy(one.store.partitions)
    while one.customer(ANNA).told != told[ANNA].told:  # type: ignore[union-attr]
        assert one.step()
    one.store.partitions = before
    with pytest.raises(Fenced):
        one.step()
    assert one.store.fence(P).recovers, "the next owner lays it over again"
