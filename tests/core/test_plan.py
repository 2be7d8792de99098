"""What a record means before any customer is known: too late, too far ahead, of elsewhere, bad, or to be folded."""

from __future__ import annotations

from typing import Any

import pytest

from processors.events import Erase, Link, Misplaced, Part, Purchase, Referral
from schemas.codec import decode, write
from schemas.partitioner import partition_of
from schemas.topics import CONTACTS, CUSTOMERS, DEAD_LETTERS, PURCHASES, RELAY, TICKS
from streams.outgoing import Outgoing
from streams.plan import LoopConfig, Plan, Planner, item_of
from streams.texts import wording
from streams.time_order import Item
from tests.core.test_time_order import Record
from tests.simulation.shop import DAY, HORIZON, HOUR, policy

PARTITIONS = 4
POLICY = policy(1, "UTC", 8_000, "min_referrals_365d = 2", 10, "true")
NOW = 1_725_000_000_000
AHEAD = 26 * HOUR
CONFIG = LoopConfig(
    partitions=PARTITIONS, policy=POLICY, outgoing=Outgoing(lambda name: f"mark of {name}", wording), horizon_ms=HORIZON
)
HOME = partition_of(b"anna", PARTITIONS)
AWAY = (HOME + 1) % PARTITIONS


def purchase(at: int = NOW, **more: Any) -> bytes:
    line = {"category": "cd", "quantity": 1, "net_amount": 1_000}
    fields = {"event_id": "e1", "customer_id": "anna", "occurred_at": at, "kind": "SALE", "store_id": "s"}
    return write(PURCHASES, fields | {"currency": "USD", "lines": [line]} | more)


def of(topic: str, value: bytes | None, *, timestamp: int = NOW, key: bytes | None = b"anna", offset: int = 7) -> Item:
    return item_of(topic, Record(offset, timestamp, key, value), CONFIG.max_ahead_ms)


def planned(*items: Item, clock: int | None = NOW, partition: int = HOME) -> Plan:
    return Planner(partition, CONFIG).planned(list(items), clock, ())


def error(plan: Plan) -> str:
    """The class of the one dead letter."""
    (record,) = plan.outbox
    assert record.topic == DEAD_LETTERS
    assert not plan.folds
    return dict(record.headers)["dlq.error"].decode()


def tick(at: int) -> Item:
    return of(TICKS, write(TICKS, {"at": at}), key=None)


def test_an_event_of_here_is_to_be_folded_at_the_clock_of_its_turn() -> None:
    plan = planned(of(PURCHASES, purchase()), tick(NOW + 5), of(PURCHASES, purchase(event_id="e2")), tick(NOW + 3))
    assert [(getattr(event, "event_id", None), clock) for event, clock, _ in plan.folds] == [
        ("e1", NOW),
        ("e2", NOW + 5),
    ]
    assert plan.clock == NOW + 5, "a tick not after the clock changes nothing"
    assert not plan.outbox


def test_an_event_at_the_horizon_is_in_time_and_a_millisecond_earlier_too_late() -> None:
    assert planned(of(PURCHASES, purchase(NOW - HORIZON))).folds
    plan = planned(of(PURCHASES, purchase(NOW - HORIZON - 1)))
    assert error(plan) == "TooLate"
    assert plan.counts[f"dead_letters:{PURCHASES}:TooLate"] == 1


def test_an_event_26_hours_after_its_record_is_in_time_and_a_millisecond_more_too_far_ahead() -> None:
    assert planned(of(PURCHASES, purchase(NOW + AHEAD))).folds
    assert error(planned(of(PURCHASES, purchase(NOW + AHEAD + 1)))) == "TooFarAhead"


def test_an_import_of_old_history_is_not_ahead_whatever_the_clock() -> None:
    assert planned(of(PURCHASES, purchase(NOW), timestamp=NOW + 900 * DAY), clock=NOW - DAY).folds


def test_before_the_first_tick_nothing_is_late_or_ahead() -> None:
    assert planned(of(PURCHASES, purchase(0)), of(PURCHASES, purchase(NOW + 900 * DAY)), clock=None).counts == {}
    assert len(planned(of(PURCHASES, purchase(0)), of(PURCHASES, purchase(NOW + 900 * DAY)), clock=None).folds) == 2


def test_what_is_before_the_clock_is_counted_as_late_and_folded() -> None:
    plan = planned(of(PURCHASES, purchase(NOW - 1)))
    assert plan.folds
    assert plan.counts[f"late:{PURCHASES}"] == 1


def test_only_what_has_a_time_of_its_own_is_ahead_of_its_record() -> None:
    assert of(PURCHASES, purchase(NOW + AHEAD + 1)).ahead
    assert not of(PURCHASES, purchase(NOW + AHEAD)).ahead
    assert not of(CUSTOMERS, None).ahead
    assert not tick(NOW + 900 * DAY).ahead


def rerouted(topic: str, value: bytes | None, at: int = NOW) -> Item:
    """The relay record that a wrong partition makes of a record, as it comes in at home."""
    (record,) = planned(of(topic, value, timestamp=at), partition=AWAY).outbox
    assert (record.topic, record.key, record.customer_id) == (RELAY, b"anna", "anna")
    return of(RELAY, record.value, timestamp=at + 900 * DAY, key=record.key)


def test_D6_a_misplaced_record_travels_whole_and_is_the_same_event_at_home() -> None:
    event = planned(rerouted(PURCHASES, purchase())).folds[0][0]
    assert event == decode(PURCHASES, purchase(), b"anna")


def test_D6_a_misplaced_record_is_never_folded_where_it_does_not_belong() -> None:
    plan = planned(of(PURCHASES, purchase()), partition=AWAY)
    assert not plan.folds
    assert plan.counts == {f"rerouted:{PURCHASES}": 1}


def test_a_rerouted_record_is_ahead_of_its_own_record_not_of_the_relays() -> None:
    late = rerouted(PURCHASES, purchase(NOW + AHEAD + 1))
    assert late.ahead
    assert late.at == NOW + AHEAD + 1
    assert error(planned(late)) == "TooFarAhead"


def test_a_misplaced_erase_is_an_erase_at_home_in_the_turn_of_its_arrival() -> None:
    item = rerouted(CUSTOMERS, None)
    assert isinstance(item.event, Misplaced)
    assert item.at == NOW + 900 * DAY
    assert not item.ahead
    assert planned(item).folds[0][0] == Erase("anna")


def test_a_misplaced_record_that_is_misplaced_again_goes_on_unchanged() -> None:
    item = rerouted(PURCHASES, purchase())
    (again,) = planned(item, partition=AWAY).outbox
    assert (again.topic, again.value) == (RELAY, item.record.value)


def test_a_misplaced_referral_goes_on_unchanged() -> None:
    relay = {
        "event_id": "bo:e1", "kind": "REFERRAL", "customer_id": "anna", "occurred_at": NOW, "topic": RELAY,
        "partition": 0, "offset": -1, "recorded_at": NOW, "referred_customer_id": "bo",
    }  # fmt: skip
    item = of(RELAY, write(RELAY, relay))
    assert isinstance(item.event, Referral)
    (again,) = planned(item, partition=AWAY).outbox
    assert again.value == item.record.value
    assert planned(item).folds[0][0] == item.event


def test_ids_known_to_be_of_here_are_not_placed_again() -> None:
    plan = Planner(AWAY, CONFIG).planned([of(PURCHASES, purchase())], NOW, {"anna"})
    assert isinstance(plan.folds[0][0], Purchase)


@pytest.mark.parametrize("clock", [None, NOW])
def test_D6_bytes_that_are_no_record_are_dead_letters_with_key_value_and_place(clock: int | None) -> None:
    plan = planned(of(CONTACTS, b"?", key=b"\xff", timestamp=5), clock=clock)
    assert error(plan) == "UnknownSchema"
    (letter,) = plan.outbox
    told = {name: text.decode() for name, text in letter.headers}
    assert (letter.key, letter.value) == (b"\xff", b"?")
    assert (told["dlq.topic"], told["dlq.partition"], told["dlq.offset"]) == (CONTACTS, str(HOME), "7")
    assert told["dlq.at"] == str(5 if clock is None else clock)


def test_a_bad_record_goes_at_once() -> None:
    assert of(PURCHASES, b"?").at == 0


def test_D6_a_record_of_elsewhere_too_large_to_travel_is_a_dead_letter() -> None:
    """Compressed, a broker takes a key of any size; on `relay` it would be refused for ever."""
    plan = planned(of(PURCHASES, purchase(), key=b"k" * 3_000_000), partition=AWAY)
    assert error(plan) == "Oversize"
    assert len(plan.outbox[0].key or b"") < 1_000


def test_D1_D5_a_part_that_comes_again_at_one_instant_is_a_cause_of_its_own() -> None:
    """Its id says whose facts they are, when, and which: facts that come, go and come again would be told under one."""
    part = Part(event_id="kim:1:ab", customer_id="anna", occurred_at=NOW, source="kim", links={"kim": Link("anna", 1)})
    items = [Item(RELAY, NOW, part, Record(offset, NOW, b"anna", b"")) for offset in (3, 5)]
    assert [event.event_id for event, _, _ in planned(*items).folds] == ["kim:1:ab@3", "kim:1:ab@5"]  # type: ignore[union-attr]
