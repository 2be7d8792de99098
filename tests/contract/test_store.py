"""What a store promises: one suite, on the store in memory and on a real Redis."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from schemas import state
from sinks.commit import Answer, Fence, Load, Loaded
from sinks.store import MetaMismatch
from tests.contract.stores import PARTITION, Driven, commit, customer, ids, memory, real, record, write

BEYOND_2_53 = 2**53 + 1
NOON_MS = 1_764_072_000_000


def begun(store: Driven) -> int:
    epoch: int = store.take_epoch(PARTITION).epoch
    return epoch


def test_a_partition_begins_with_epoch_1_and_nothing_else(store: Driven) -> None:
    assert store.fence(PARTITION) == Fence(epoch=0)
    assert store.take_epoch(PARTITION) == Fence(epoch=1)
    assert store.take_epoch(PARTITION) == Fence(epoch=2)
    assert store.fence(PARTITION) == Fence(epoch=2)
    assert store.fence(PARTITION + 1) == Fence(epoch=0)


def test_an_epoch_does_not_come_back_with_a_redis_that_did(redis_url: str) -> None:
    for kind in (memory(clock=lambda: NOON_MS), real(redis_url, clock=lambda: NOON_MS)):
        with kind as store:
            assert [store.take_epoch(PARTITION).epoch for _ in range(2)] == [NOON_MS, NOON_MS + 1]
            assert store.take_epoch(PARTITION + 1).epoch == store.fence(PARTITION + 1).epoch == NOON_MS


def test_a_commit_moves_the_fence_to_what_it_names(store: Driven) -> None:
    epoch = begun(store)
    moved = commit(
        epoch, 1, positions_to={"purchases": 7, "ticks": 2}, clock=5_000, policy="n@2#abcdef01", since=4_000,
        shares={"0.2": BEYOND_2_53},
    )  # fmt: skip
    assert store.commit(moved) is Answer.DONE
    assert store.fence(PARTITION) == Fence(
        epoch=epoch, seq=1, clock=5_000, policy="n@2#abcdef01", since=4_000, shares={"0.2": BEYOND_2_53},
        positions={"purchases": 7, "ticks": 2},
    )  # fmt: skip


def test_D7_who_takes_an_epoch_learns_which_senders_have_counters(store: Driven) -> None:
    epoch = begun(store)
    counts = {"sent:events:7\x1fstore": 2, "sent:late:a:b\x1f": 1, "sent:events:a:b\x1f": 1, "records:purchases": 3}
    assert store.commit(commit(epoch, 1, counts=counts)) is Answer.DONE
    assert store.fence(PARTITION).senders == ()
    assert set(store.take_epoch(PARTITION).senders) == {"7\x1fstore", "a:b\x1f"}
    assert len(store.take_epoch(PARTITION).senders) == 2


def test_no_clock_before_the_first_tick(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, clock=None)) is Answer.DONE
    assert store.fence(PARTITION).clock is None
    assert store.commit(commit(epoch, 2, clock=0)) is Answer.DONE
    assert store.fence(PARTITION).clock == 0


def test_the_owner_before_is_refused_and_changes_nothing(store: Driven) -> None:
    old = begun(store)
    assert store.commit(commit(old, 1, writes=(write("anna"),))) is Answer.DONE
    new = begun(store)
    assert store.commit(commit(old, 2, writes=(write("anna", value=999), write("ben")))) is Answer.FENCED
    assert store.view("anna")["value_365d"] == "100"
    assert store.view("ben") == {}
    assert store.commit(commit(new, 2, writes=(write("ben"),))) is Answer.DONE
    assert store.view("ben")["customer_id"] == "ben"


def test_D1_a_repeated_commit_is_answered_already_and_applied_once(store: Driven) -> None:
    epoch = begun(store)
    once = commit(epoch, 1, writes=(write("anna"),), counts={"x": 2}, outbox=(record(1),))
    assert [store.commit(once) for _ in range(3)] == [Answer.DONE, Answer.ALREADY, Answer.ALREADY]
    assert store.kpi() == {"x": 2}
    assert store.outbox_size(PARTITION) == (1, 1)


def test_a_repeat_after_another_took_over_is_fenced(store: Driven) -> None:
    once = commit(begun(store), 1)
    assert store.commit(once) is Answer.DONE
    begun(store)
    assert store.commit(once) is Answer.FENCED


@pytest.mark.parametrize("seq", [0, 1, 4])
def test_a_commit_out_of_turn_is_fenced(store: Driven, seq: int) -> None:
    epoch = begun(store)
    for n in (1, 2):
        assert store.commit(commit(epoch, n)) is Answer.DONE
    assert store.commit(commit(epoch, seq, positions_from={})) is Answer.FENCED
    assert store.fence(PARTITION).seq == 2


def test_a_leap_may_skip_numbers_but_follows_the_commit_it_names(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 9, positions_from={}, leaps_from=0)) is Answer.DONE
    assert store.commit(commit(epoch, 9, positions_from={}, leaps_from=0)) is Answer.ALREADY
    for before in (0, 8, 10):  # a Redis that fell back, though no position tells
        assert store.commit(commit(epoch, 20, positions_from={}, leaps_from=before)) is Answer.FENCED
    assert store.commit(commit(epoch, 10)) is Answer.DONE


def test_a_commit_that_began_elsewhere_is_fenced(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1)) is Answer.DONE
    stale = commit(epoch, 2, positions_from={"purchases": 9}, writes=(write("anna"),))
    assert store.commit(stale) is Answer.FENCED
    assert store.view("anna") == {}
    unset = commit(epoch, 2, positions_from={"purchases": 10, "ticks": 5})
    assert store.commit(unset) is Answer.DONE, "a topic that the fence does not name yet may begin anywhere"


def test_states_come_back_as_they_went(store: Driven) -> None:
    epoch = begun(store)
    names = ("anna", "ünï:{5} code", "x" * 128)
    assert store.commit(commit(epoch, 1, writes=tuple(write(name) for name in names))) is Answer.DONE
    loaded = store.load(PARTITION, ids(*names, "nobody"))
    assert loaded.customers == {**{name: customer(name) for name in names}, "nobody": None}
    assert (loaded.due, loaded.reach, loaded.not_before) == ((), None, {})
    assert store.load(PARTITION, ids()).customers == {}
    assert store.load(PARTITION + 1, ids("anna")).customers == {"anna": None}


def test_a_load_may_name_thousands(store: Driven) -> None:
    epoch = begun(store)
    names = tuple(f"c{n}" for n in range(9_001))
    assert store.commit(commit(epoch, 1, writes=tuple(write(name, due=1) for name in names))) is Answer.DONE
    assert store.load(PARTITION, ids(*names)).customers == {name: customer(name, due=1) for name in names}
    loaded = store.load(PARTITION, Load((), 1, 9_001))
    assert (sorted(loaded.due), loaded.reach, len(loaded.customers)) == (sorted(names), None, 9_001)


@pytest.mark.parametrize("due_until", [None, 10])
def test_a_load_of_a_former_owner_is_refused(store: Driven, due_until: int | None) -> None:
    before = begun(store)
    assert store.load(PARTITION, Load(("anna",), due_until, 5, before, 0)).customers == {"anna": None}
    epoch = begun(store)
    assert store.load(PARTITION, Load(("anna",), due_until, 5, before, 0)).fenced
    assert store.commit(commit(epoch, 1, writes=(write("anna", due=9),))) is Answer.DONE
    for epoch_asked, seq in ((before, 0), (before, 1), (epoch, 0), (epoch, 2)):
        assert store.load(PARTITION, Load(("anna",), due_until, 5, epoch_asked, seq)) == Loaded({}, fenced=True)
    loaded = store.load(PARTITION, Load(("anna",), due_until, 5, epoch, 1))
    assert (loaded.fenced, loaded.customers) == (False, {"anna": customer("anna", due=9)})


def test_due_ones_come_earliest_first_in_bounded_slices(store: Driven) -> None:
    epoch = begun(store)
    due = {"c": 3_000, "b": 2_000, "a2": 1_000, "a1": 1_000, "later": 4_001}
    assert store.commit(commit(epoch, 1, writes=tuple(write(name, at) for name, at in due.items()))) is Answer.DONE
    assert store.due() == due
    every = store.load(PARTITION, Load(("later",), 4_000, 4))
    assert (every.due, every.reach) == (("a1", "a2", "b", "c"), None)
    assert set(every.customers) == {*every.due, "later"}
    assert None not in every.customers.values()
    first = store.load(PARTITION, Load((), 4_000, 3))
    assert (first.due, first.reach) == (("a1", "a2", "b"), 2_999)
    among = store.load(PARTITION, Load((), 4_000, 1))
    assert (among.due, among.reach) == (("a1",), 999)  # a2 is due at the same instant
    assert store.load(PARTITION, Load((), 999, 3)).due == ()
    assert store.load(PARTITION, Load(("b",))).due == ()


def test_each_known_customer_has_one_due_entry(store: Driven) -> None:
    epoch = begun(store)
    for seq, due in ((1, 5_000), (2, 3_000), (3, 9_000)):
        assert store.commit(commit(epoch, seq, writes=(write("anna", due),))) is Answer.DONE
    assert store.due() == {"anna": 9_000}


def test_K5_of_a_place_state_and_due_entry_are_kept_and_no_view(store: Driven) -> None:
    one = commit(begun(store), 1, writes=(replace(write("place:DELIVERY@7", 30), view=()), write("anna")))
    assert store.commit(one) is Answer.DONE
    assert store.view("place:DELIVERY@7") == {}
    assert store.due() == {"place:DELIVERY@7": 30, "anna": 2_000}
    assert [name for name, _ in store.pending(PARTITION, "0-0", 10, 10).views] == [b"anna"]


def test_D5_of_an_id_that_is_merged_into_another_the_view_goes_and_state_and_due_entry_stay(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, writes=(write("anna"), write("bo")))) is Answer.DONE
    merged = replace(write("anna", 40), view=(), hidden=True)
    assert store.commit(commit(epoch, 2, writes=(merged,))) is Answer.DONE
    assert store.view("anna") == {}
    assert store.due() == {"anna": 40, "bo": 2_000}
    assert [name for name, _ in store.pending(PARTITION, "0-0", 10, 10).views] == [b"bo"]
    assert store.commit(commit(epoch, 3, writes=(write("anna"),))) is Answer.DONE
    assert store.view("anna") != {}


def test_a_field_that_is_absent_now_leaves_the_hash(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, writes=(write("anna", average_order=50, usual_gap_days=7.5),))) is Answer.DONE
    assert store.view("anna")["average_order"] == "50"
    assert store.view("anna")["usual_gap_days"] == "7.5"
    gone = write("anna", average_order=None, usual_gap_days=0.1, tier="gold")
    assert store.commit(commit(epoch, 2, writes=(gone,))) is Answer.DONE
    assert store.view("anna") == {
        "customer_id": "anna", "as_of": "1000", "policy": "p@1", "value_365d": "100", "usual_gap_days": "0.1",
        "tier": "gold",
    }  # fmt: skip


def test_of_a_view_written_before_only_what_changed_goes_out(store: Driven) -> None:
    epoch = begun(store)
    first = write("anna", average_order=50, tier="gold", next_review_at=2_000)
    assert store.commit(commit(epoch, 1, writes=(first,))) is Answer.DONE
    then = replace(write("anna", value=7, tier="gold", lifetime_value=9, next_review_at=2_000), was=first.view)
    assert store.commit(commit(epoch, 2, writes=(then, write("ben")))) is Answer.DONE
    assert store.view("anna") == {
        "customer_id": "anna", "as_of": "1000", "policy": "p@1", "value_365d": "7", "tier": "gold",
        "lifetime_value": "9", "next_review_at": "2000",
    }  # fmt: skip
    assert store.due() == {"anna": 2_000, "ben": 2_000}
    due = replace(write("anna", 3_000, 7, tier="gold", lifetime_value=9, next_review_at=3_000), was=then.view)
    same = replace(due, was=due.view)
    assert store.commit(commit(epoch, 3, writes=(due,))) is Answer.DONE
    assert store.commit(commit(epoch, 4, writes=(same,))) is Answer.DONE
    assert store.due() == {"anna": 3_000, "ben": 2_000}
    assert store.view("anna")["next_review_at"] == "3000"


def test_V1_numbers_above_2_to_the_53_stay_exact(store: Driven) -> None:
    epoch = begun(store)
    big = write("anna", value=BEYOND_2_53, lifetime_value=-BEYOND_2_53)
    moved = commit(
        epoch, 1, writes=(big,), counts={"sum": BEYOND_2_53}, positions_to={"purchases": BEYOND_2_53},
        erased={"ben": BEYOND_2_53},
    )  # fmt: skip
    assert store.commit(moved) is Answer.DONE
    assert store.view("anna")["value_365d"] == str(BEYOND_2_53)
    assert store.view("anna")["lifetime_value"] == str(-BEYOND_2_53)
    assert store.kpi() == {"sum": BEYOND_2_53}
    assert store.fence(PARTITION).positions == {"purchases": BEYOND_2_53}
    assert store.load(PARTITION, ids("ben")).not_before == {"ben": BEYOND_2_53}
    assert store.load(PARTITION, ids("anna")).customers["anna"] == big.customer


def test_counters_add_up(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, counts={"customers:member": 2, "zero": 0})) is Answer.DONE
    assert store.commit(commit(epoch, 2, counts={"customers:member": -1, "customers:gold": 1})) is Answer.DONE
    assert store.kpi() == {"customers:member": 1, "customers:gold": 1}


def test_a_counter_at_zero_goes_and_one_that_64_bits_do_not_hold_stops_no_commit(store: Driven) -> None:
    epoch = begun(store)
    most = (1 << 63) - 1
    assert store.commit(commit(epoch, 1, counts={"first:17000:customers": 1, "sum": most})) is Answer.DONE
    over = commit(epoch, 2, counts={"sum": 1, "first:17000:customers": -1, "gained": 1}, writes=(write("anna"),))
    assert store.commit(over) is Answer.DONE
    assert store.kpi() == {"sum": most, "gained": 1}
    assert store.view("anna")


def test_D4_an_erase_removes_all_but_the_mark(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, writes=(write("anna"), write("ben")))) is Answer.DONE
    assert store.commit(commit(epoch, 2, erased={"anna": 777, "never known": 5})) is Answer.DONE
    assert store.view("anna") == {}
    assert store.due() == {"ben": 2_000}
    assert store.outbox_size(PARTITION) == (0, 1), "a view that is gone is not published"
    loaded = store.load(PARTITION, ids("anna", "ben", "never known", "nobody"))
    assert loaded.not_before == {"anna": 777, "never known": 5}
    assert loaded.customers["anna"] is None
    assert store.fence(PARTITION).erased == 2


def test_D4_the_later_erase_counts_and_whoever_came_back_has_no_mark_to_heed(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, erased={"anna": 777})) is Answer.DONE
    assert store.commit(commit(epoch, 2, erased={"anna": 700})) is Answer.DONE
    assert store.load(PARTITION, ids("anna")).not_before == {"anna": 777}
    reborn = commit(epoch, 3, erased={"anna": 900}, writes=(write("anna", value=1),))
    assert store.commit(reborn) is Answer.DONE, "erased first, then written"
    loaded = store.load(PARTITION, ids("anna"))
    assert (loaded.customers["anna"], loaded.not_before) == (customer("anna", value=1), {})
    assert store.commit(commit(epoch, 4, erased={"anna": 901})) is Answer.DONE
    assert store.load(PARTITION, ids("anna")).not_before == {"anna": 901}


def test_marks_are_looked_up_by_an_owner_who_did_not_make_them(store: Driven) -> None:
    assert store.commit(commit(begun(store), 1, erased={"anna": 777})) is Answer.DONE
    begun(store)
    assert store.load(PARTITION, Load(("anna",), 10, 10)).not_before == {"anna": 777}


def test_D4_a_mark_alone_is_laid_and_only_grows(store: Driven) -> None:
    """As a recovery finds them in `identities`: of the ids nothing is known."""
    epoch = begun(store)
    anna, ben = store.mark("anna"), store.mark("ben")
    assert store.commit(commit(epoch, 1, writes=(write("anna"),), marks={anna: 777, ben: 5})) is Answer.DONE
    assert store.commit(commit(epoch, 2, erased={"anna": 900}, marks={anna: 800, ben: 6})) is Answer.DONE
    assert store.load(PARTITION, ids("anna", "ben")).not_before == {"anna": 900, "ben": 6}
    assert store.fence(PARTITION).erased == 2


def test_names_are_all_who_are_known(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, writes=(write("ünï:{5} code"), write("ben"), write("anna")))) is Answer.DONE
    assert store.commit(commit(epoch, 2, erased={"anna": 777})) is Answer.DONE
    assert sorted(store.names(PARTITION)) == ["ben", "ünï:{5} code"]
    assert list(store.names(PARTITION + 1)) == []


def test_a_new_policy_makes_everybody_due(store: Driven) -> None:
    epoch = begun(store)
    assert (
        store.commit(commit(epoch, 1, writes=(write("anna", 5_000), write("ben", 253_402_300_800_000)))) is Answer.DONE
    )
    assert store.commit(commit(epoch, 2, all_due=True, writes=(write("carl"),))) is Answer.DONE
    assert store.due() == {"anna": 0, "ben": 0, "carl": 0}
    assert store.commit(commit(epoch, 3, writes=(write("ben", 6_000),))) is Answer.DONE
    assert store.due() == {"anna": 0, "ben": 6_000, "carl": 0}


def test_a_new_policy_on_an_empty_partition_is_no_error(store: Driven) -> None:
    assert store.commit(commit(begun(store), 1, all_due=True)) is Answer.DONE
    assert store.due() == {}


# -- what is to be published


def entries_of(pending: Any) -> list[str]:
    return [entry for entry, _ in pending.entries]


def test_pending_is_all_that_was_committed_with_the_fence(store: Driven) -> None:
    epoch = begun(store)
    records = (record(1, "anna"), replace(record(2), key=None, value=None, headers=()))
    assert store.commit(commit(epoch, 1, writes=(write("anna"),), outbox=records)) is Answer.DONE
    assert store.commit(commit(epoch, 2)) is Answer.DONE
    pending = store.pending(PARTITION, "0-0", 10, 10)
    assert pending.entries == (("1-1", records[0]), ("1-2", records[1]))
    assert pending.fence == store.fence(PARTITION)
    assert (pending.views_seq, pending.fence.seq) == (2, 2)
    ((name, fields),) = pending.views
    assert name == b"anna"
    assert dict(zip(fields[::2], fields[1::2], strict=True))[b"value_365d"] == b"100"
    assert entries_of(store.pending(PARTITION, "1-1", 10, 10)) == ["1-2"]


def test_D1_pending_ends_with_a_commit_and_has_its_fence_then(store: Driven) -> None:
    epoch = begun(store)
    for seq in (1, 2, 3):
        outbox = tuple(record(n) for n in range(3))
        assert store.commit(commit(epoch, seq, outbox=outbox, writes=(write(f"c{seq}"),))) is Answer.DONE
    for most in (1, 2, 3):
        pending = store.pending(PARTITION, "0-0", most, 10)
        assert entries_of(pending) == ["1-1", "1-2", "1-3"]
        assert (pending.fence.seq, pending.fence.clock, pending.fence.positions) == (1, 1_000, {"purchases": 10})
        assert ([name for name, _ in pending.views], pending.views_seq) == ([b"c1"], 1)
    pending = store.pending(PARTITION, "1-3", 4, 10)
    assert entries_of(pending)[-1] == "3-3"
    assert pending.fence.seq == 3


def test_views_are_cut_between_commits(store: Driven) -> None:
    epoch = begun(store)
    for seq, names in ((1, "ab"), (2, "cde"), (3, "af")):
        assert store.commit(commit(epoch, seq, writes=tuple(write(name) for name in names))) is Answer.DONE
    expected = {  # a changed last in commit 3
        1: ("b", 1), 2: ("b", 1), 3: ("b", 1), 4: ("bcde", 2), 5: ("bcde", 2), 6: ("bcdeaf", 3),
    }  # fmt: skip
    for most, (names, seq) in expected.items():
        pending = store.pending(PARTITION, "0-0", 10, most)
        assert ("".join(name.decode() for name, _ in pending.views), pending.views_seq) == (names, seq), most
    store.published(PARTITION, "0-0", 1)
    pending = store.pending(PARTITION, "0-0", 10, 1)
    assert ("".join(name.decode() for name, _ in pending.views), pending.views_seq) == ("cde", 2), "a whole commit"


def test_what_was_published_leaves_and_what_changed_meanwhile_stays(store: Driven) -> None:
    epoch = begun(store)
    for seq in (1, 2):
        outbox = (record(1), record(2))
        assert store.commit(commit(epoch, seq, outbox=outbox, writes=(write("anna"), write(f"c{seq}")))) is Answer.DONE
    pending = store.pending(PARTITION, "0-0", 10, 10)
    assert store.commit(commit(epoch, 3, outbox=(record(9),), writes=(write("anna", value=3),))) is Answer.DONE
    assert store.published(PARTITION, entries_of(pending)[-1], pending.views_seq) == 1
    assert store.published(PARTITION, entries_of(pending)[-1], pending.views_seq) == 1, "again changes nothing"
    rest = store.pending(PARTITION, "2-2", 10, 10)
    assert entries_of(rest) == ["3-1"]
    assert [name for name, _ in rest.views] == [b"anna"]
    store.published(PARTITION, "3-1", 3)
    assert store.outbox_size(PARTITION) == (0, 0)
    assert store.pending(PARTITION, "3-1", 10, 10).entries == ()


def test_an_entry_published_in_part_leaves_the_rest(store: Driven) -> None:
    assert store.commit(commit(begun(store), 1, outbox=tuple(record(n) for n in range(12)))) is Answer.DONE
    assert store.published(PARTITION, "1-9", 0) == 3
    assert entries_of(store.pending(PARTITION, "0-0", 10, 10)) == ["1-10", "1-11", "1-12"]


# -- one installation


def test_the_first_worker_fixes_partitions_and_layout(store: Driven) -> None:
    store.check_meta(12, "shop")
    store.check_meta(12, "renamed shop")
    with pytest.raises(MetaMismatch, match=r"partitions is 12, LOYALTY_PARTITIONS 6.*set LOYALTY_PARTITIONS=12"):
        store.check_meta(6, "shop")


def test_a_state_of_a_newer_release_stops_the_load(store: Driven) -> None:
    epoch = begun(store)
    assert store.commit(commit(epoch, 1, writes=(write("anna"),))) is Answer.DONE
    with pytest.raises(state.BadState, match="begins with format 9: this release reads 1"):
        state.decode(b"\x09" + state.encode(customer("anna"))[1:])
