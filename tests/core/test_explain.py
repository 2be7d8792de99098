"""C10: every output of a shop is told again from its customer's records and the ticks, with what stands behind it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from processors.care.sections import EVENTS, PROMISES, Care
from processors.grade import inside
from processors.policy import Policy, load_policy
from schemas import library
from schemas.codec import decoding, read, write
from schemas.customer_value import encode_view
from schemas.partitioner import partition_of
from schemas.topics import (
    CARE_REMINDERS,
    CHURN_RISK,
    CUSTOMER_VALUE,
    CUSTOMERS,
    EMPLOYEE_GRADES,
    INPUTS,
    OUTBOX_POSITIONS,
    POLICIES,
    PURCHASES,
    TICKS,
    TIER_CHANGES,
)
from streams.cli import explain as command
from streams.explaining import Published, Told, told_again
from streams.explanation import RULES, differing, explained, rules_of
from streams.outgoing import Outgoing
from streams.plan import LoopConfig
from streams.settings import LoyaltyError
from streams.stages import AS_COMMITTED, BY_PUBLICATION
from tests import rulebook
from tests.core.test_partition import ANNA, BO, Driven, P, T
from tests.simulation.kafka import Kafka, SimRecord
from tests.simulation.run import quiet_run
from tests.simulation.shop import DAY, HORIZON, HOUR, Shop, shop_year
from tests.wire.test_registry import confluent
from tests.wire.test_registry import told as registry_told


class Logs:
    """Input logs of one partition, as Kafka keeps them. kept: `outbox-positions` was not compacted yet."""

    def __init__(self, kafka: Kafka, partition: int, *, kept: bool = True) -> None:
        self._kafka, self._partition, self.kept = kafka, partition, kept
        self.begins = dict.fromkeys(INPUTS, 0)

    def records(self, topic: str) -> Iterator[SimRecord]:
        return self._kafka.log(topic, self._partition).read_committed()

    def positions(self) -> Iterator[tuple[int, Mapping[str, int]]]:
        for one in self._kafka.log(OUTBOX_POSITIONS, self._partition).read_committed() if self.kept else ():
            yield one.timestamp, one.value["positions"]


def published(kafka: Kafka, topic: str) -> Iterator[Published]:
    for partition in range(kafka.partitions):
        records = list(kafka.log(topic, partition).read_committed())
        for one in records:
            instants = tuple(sorted({other.timestamp for other in records if other.offset <= one.offset}))
            event_id = dict(one.headers)["ce_id"].decode()
            yield Published(
                topic, partition, one.offset, one.timestamp, one.key.decode(), event_id, one.value, instants
            )


def again(of: Published, kafka: Kafka, shop: Shop, *, kept: bool = True) -> Told:
    def config(policy: Policy, outgoing: Outgoing) -> LoopConfig:
        return LoopConfig(partitions=shop.partitions, policy=policy, outgoing=outgoing, horizon_ms=HORIZON)

    first = [shop.policy, *(one for one in shop.policies.values() if one is not shop.policy)]
    reminder = read(of.topic, of.value)["reminder_id"] if of.topic == CARE_REMINDERS else None
    return told_again(of, Logs(kafka, of.partition, kept=kept), first, config, reminder)


@pytest.mark.parametrize(("seed", "kept"), [(0, True), (1, True), (2, True), (2, False), (3, False)])
def test_C10_every_output_of_a_shop_is_told_again_to_the_byte(seed: int, kept: bool) -> None:
    """But of who gets news of others by `relay`: what of it came in one go with the rest is not kept here."""
    shop = shop_year(Random(seed))
    kafka = quiet_run(shop).kafka
    happened: Counter[str] = Counter()
    for topic in (TIER_CHANGES, CHURN_RISK, CARE_REMINDERS):
        for number, of in enumerate(published(kafka, topic)):
            if number % 3 and topic != TIER_CHANGES:
                continue
            told = again(of, kafka, shop, kept=kept)
            same = told.found is not None and told.found.value == of.value
            happened["same" if same else "not"] += 1
            assert same or of.customer_id in shop.relayed, of.event_id
            assert told.inputs, "no output without an input"
            behind(of, told, kafka)
    assert happened["same"] > 30
    assert happened["not"] <= 2


def test_C10_E2_every_change_of_a_grade_is_told_again_to_the_byte() -> None:
    shop = shop_year(Random(0))
    kafka = quiet_run(shop).kafka
    causes: Counter[str] = Counter()
    for one in list(published(kafka, EMPLOYEE_GRADES))[::4]:
        name = inside(one.customer_id)
        of = replace(one, customer_id=name, home=partition_of(name.encode(), shop.partitions))
        told = told_again(of, Logs(kafka, of.told_by), [shop.policy, *shop.policies.values()], config_of(shop))
        assert told.found is not None
        assert told.found.value == of.value
        made = explained(of, told, {told.found.policy.key: (told.found.policy, 7)}, ())
        causes[made["cause"]["kind"]] += 1
        said = "\n".join(command.lines(made))
        assert f"of customer {name.removeprefix('grade:')}, at" in said
        assert "E2 Grades of those who serve" in said
    assert causes["record"] > 3
    assert causes["time"] + causes["policy"] > 0


def config_of(shop: Shop) -> Callable[[Policy, Outgoing], LoopConfig]:
    return lambda policy, outgoing: LoopConfig(
        partitions=shop.partitions, policy=policy, outgoing=outgoing, horizon_ms=HORIZON
    )


def behind(of: Published, told: Told, kafka: Kafka) -> None:
    """Each record named lies where it is said to lie, is the customer's, and its cause is one of them or a tick."""
    for one in told.inputs:
        record = next(r for r in kafka.log(one.topic, one.partition).read_committed() if r.offset == one.offset)
        assert of.customer_id.encode() in (record.key or b"") + (record.value or b"")
    if told.found is None:
        return
    if told.found.record is not None:
        assert told.found.record == told.inputs[-1]
    elif told.found.changed:
        assert told.found.noticed is not None
        assert told.found.noticed.topic == TICKS
    at = read(of.topic, of.value)["at"]
    caused = told.found.record
    if caused is not None and caused.occurred_at is not None:
        assert caused.occurred_at <= at
    made = explained(of, told, {told.found.policy.key: (told.found.policy, 7)}, ())
    assert json.loads(json.dumps(made))["reproduced"] == (told.found.value == of.value)
    assert all(rule["says"] for rule in made["rules"])
    said = "\n".join(command.lines(made))
    assert f"{of.topic}[{of.partition}]@{of.offset} of customer {of.customer_id}" in said
    assert "policies[0]@7" in said


# ---- what came late, repeats, erases: by hand


class Shelf(Struct):
    """One partition's logs, folded at each `run`. marks: what `outbox-positions` says, which a test may take away."""

    driven: Driven
    told: list[Published] = []
    marks: list[tuple[int, Mapping[str, int]]] = []

    def run(self) -> Shelf:
        """Fold what is there; what leaves is published a millisecond after the last record."""
        before = len(self.driven.commits)
        self.driven.run()
        now = max(one.timestamp for log in self.driven.logs.values() for one in log) + 1
        for commit in self.driven.commits[before:]:
            for one in commit.outbox:
                if one.topic in (TIER_CHANGES, CHURN_RISK, CARE_REMINDERS) and one.value is not None:
                    event_id = dict(one.headers)["ce_id"].decode()
                    instants = (*(self.told[-1].instants if self.told else ()), now)
                    place = len(self.told), now, (one.key or b"").decode()
                    self.told.append(Published(one.topic, P, *place, event_id, one.value, instants))
        self.marks.append((now, dict(self.driven.loop.positions)))
        return self

    @property
    def begins(self) -> dict[str, int]:
        return dict.fromkeys(INPUTS, 0)

    def records(self, topic: str) -> Iterator[Any]:
        return iter(self.driven.logs[topic])

    def positions(self) -> Iterator[tuple[int, Mapping[str, int]]]:
        return iter(self.marks)

    def explained(self, of: Published) -> tuple[Told, dict[str, Any]]:
        config, policies = self.driven.config, self.driven.policies

        def made(policy: Policy, outgoing: Outgoing) -> LoopConfig:
            return LoopConfig(
                partitions=config.partitions,
                policy=policy,
                outgoing=outgoing,
                horizon_ms=config.horizon_ms,
                decode=config.decode,
            )

        told = told_again(of, self, list(policies.values()), made)
        return told, explained(of, told, {key: (one, None) for key, one in policies.items()}, ())


def test_C10_a_rise_names_the_purchase_that_caused_it_and_what_lay_before() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 4_000)
    shelf.driven.buy(BO, T + HOUR, 50_000)
    shelf.driven.buy(ANNA, T + 2 * HOUR, 4_500)
    shelf.driven.buy(ANNA, T + 2 * HOUR, 4_500, event_id="purchases-2")
    shelf.driven.tick(T + DAY)
    shelf.run()
    of = next(one for one in shelf.told if one.topic == TIER_CHANGES and one.customer_id == ANNA)
    told, made = shelf.explained(of)
    assert made["reproduced"] is True
    assert [(one["offset"], one["cause"]) for one in made["inputs"]] == [(0, False), (2, True)]
    assert made["cause"]["kind"] == "record"
    assert made["rules"] == [{"id": "T1", "says": "Up at once"}]
    assert (made["numbers"]["code"], made["numbers"]["have"], made["numbers"]["need"]) == (
        "min_value_365d",
        8_500,
        8_000,
    )
    assert made["policy"]["key"] == shelf.driven.config.policy.key
    assert made["policy"]["offset"] is None
    assert f"{PURCHASES}[{P}]@2  Purchase purchases-2 of 2024-08-30T08:40:00.000Z  <- the cause" in "\n".join(
        command.lines(made)
    )
    assert told.reading == AS_COMMITTED


def test_C10_a_fall_is_of_time_alone_and_names_the_tick_and_the_repeats_count_nothing() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    shelf.driven.buy(ANNA, T, 9_000, event_id="purchases-0")
    for day in range(0, 500, 10):
        shelf.driven.tick(T + day * DAY + 1)
    shelf.run()
    of = next(
        one for one in shelf.told if one.topic == TIER_CHANGES and read(one.topic, one.value)["direction"] == "DOWN"
    )
    told, made = shelf.explained(of)
    assert made["reproduced"] is True
    assert (made["cause"]["kind"], made["cause"]["record"]["topic"]) == ("time", TICKS)
    tick = made["cause"]["record"]["occurred_at"]
    assert tick - 10 * DAY < made["at"] <= tick
    assert [one.left_out for one in told.inputs] == [None, "a repeat"]
    assert "because     time alone: ticks[" in "\n".join(command.lines(made))


def test_C10_what_came_late_is_read_as_it_came() -> None:
    """A purchase that would have kept the tier, and came when it had fallen, stands behind what follows alone."""
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    for day in range(0, 420, 5):
        shelf.driven.put(TICKS, write(TICKS, {"at": T + day * DAY}), at=T + day * DAY)
    shelf.run()
    late = {"lines": [{"category": "cd", "quantity": 1, "net_amount": 9_000}]}
    shelf.driven.buy(ANNA, T + 300 * DAY, 9_000, **late)
    last = shelf.driven.logs[PURCHASES].pop()
    shelf.driven.put(PURCHASES, last.value, at=T + 420 * DAY, key=ANNA)
    shelf.driven.put(TICKS, write(TICKS, {"at": T + 421 * DAY}), at=T + 421 * DAY)
    shelf.run()
    changes = [one for one in shelf.told if one.topic == TIER_CHANGES]
    assert [read(one.topic, one.value)["direction"] for one in changes] == ["UP", "DOWN", "UP"]
    for readings in ({AS_COMMITTED}, {BY_PUBLICATION}):
        told = [shelf.explained(of) for of in changes]
        assert [[one.offset for one in one.inputs] for one, _ in told] == [[0], [0], [0, 1]]
        assert all(made["reproduced"] for _, made in told)
        assert {one.reading for one, _ in told} == readings
        shelf.marks.clear()  # compaction


def test_C10_what_lay_before_an_erase_stands_behind_nothing() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    shelf.driven.erase(ANNA, T + DAY)
    shelf.driven.buy(ANNA, T + 2 * DAY, 9_000)
    shelf.driven.tick(T + 3 * DAY)
    shelf.run()
    told, made = shelf.explained([one for one in shelf.told if one.topic == TIER_CHANGES][-1])
    assert made["reproduced"] is True
    assert [(one.topic, one.event) for one in told.inputs] == [(CUSTOMERS, "Erase"), (PURCHASES, "Purchase")]


def test_C10_a_view_is_explained_by_the_record_or_the_time_that_made_it() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    for late in (1, 500):
        shelf.driven.tick(T + late * DAY)
        shelf.run()
        fields = shelf.driven.store.partition(P).views[ANNA]
        value, headers = encode_view(P, [part.encode() for pair in fields.items() for part in pair])
        now = shelf.marks[-1][0]
        of = Published(CUSTOMER_VALUE, P, 0, now, ANNA, dict(headers)["ce_id"].decode(), value, (now,))
        _, made = shelf.explained(of)
        assert (made["reproduced"], made["rules"]) == (True, [{"id": "V1", "says": "Rolling figures"}])
        cause = ("record", PURCHASES) if late == 1 else ("time", TICKS)
        assert (made["cause"]["kind"], made["cause"]["record"]["topic"]) == cause
        assert "tier " in list(command.lines(made))[1]


def test_C10_a_new_policy_is_named_as_the_cause_and_a_missing_one_is_an_error() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    shelf.driven.tick(T + DAY)
    second = list(shelf.driven.policies)[1]
    shelf.driven.tick(T + 2 * DAY, policy=second)
    for day in range(3, 20):
        shelf.driven.tick(T + day * DAY)
    shelf.run()
    of = [one for one in shelf.told if one.topic == TIER_CHANGES][-1]
    _, made = shelf.explained(of)
    assert (made["reproduced"], made["policy"]["key"]) == (True, second)
    del shelf.driven.policies[second]
    with pytest.raises(LoyaltyError, match="is not on topic policies: set LOYALTY_POLICY to its file"):
        shelf.explained(of)


def test_C10_what_is_not_told_again_says_so_and_which_records_had_been_written() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    shelf.driven.tick(T + DAY)
    shelf.run()
    (of,) = (one for one in shelf.told if one.topic == TIER_CHANGES)
    shelf.driven.logs[PURCHASES][0] = SimRecord(0, T, ANNA.encode(), None)
    gone = {"topic": PURCHASES, "partition": P, "from": 0, "to": 0, "why": "retention"}
    told, made = shelf.explained(of)
    made["missing"] = [gone]
    assert (told.found, made["reproduced"], made["differs"], made["cause"]) == (None, False, None, None)
    said = "\n".join(command.lines(made))
    assert "reproduced  no: not told again from what Kafka holds" in said
    assert f"gone: {PURCHASES}[{P}]@0 to 0: retention removed them" in said


def test_C10_fields_that_differ_are_named() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    shelf.driven.tick(T + DAY)
    shelf.run()
    (of,) = (one for one in shelf.told if one.topic == TIER_CHANGES)
    other = write(of.topic, read(of.topic, of.value) | {"value_365d": 1})
    assert differing(of.topic, of.value, other) == {"value_365d": {"published": 9_000, "again": 1}}


def test_C10_records_in_the_framing_of_a_registry_are_read_by_their_ids() -> None:
    schemas = {topic: json.loads(library.text(topic)) for topic in (PURCHASES, TIER_CHANGES)}
    registered = registry_told(schemas[PURCHASES])
    shelf = Shelf(Driven(decode=decoding(registered)))
    shelf.driven.buy(ANNA, T, 9_000)
    own = shelf.driven.logs[PURCHASES].pop()
    assert own.value is not None
    value = confluent(schemas[PURCHASES], read(PURCHASES, own.value))
    shelf.driven.put(PURCHASES, value, at=T, key=ANNA)
    shelf.driven.tick(T + DAY)
    shelf.run()
    (of,) = (one for one in shelf.told if one.topic == TIER_CHANGES)
    registered.learn(8, json.dumps(schemas[TIER_CHANGES]))
    left = confluent(schemas[TIER_CHANGES], read(of.topic, of.value), 8)
    reader: Any = OneTopic(SimRecord(of.offset, of.timestamp, ANNA.encode(), left))
    found = command.find(reader, of.event_id, registered)
    assert (found.value, found.customer_id) == (of.value, ANNA)
    told, made = shelf.explained(of)
    assert made["reproduced"] is True
    assert [(one.topic, one.event) for one in told.inputs] == [(PURCHASES, "Purchase")]


# ---- rules


def test_C10_every_rule_is_named_as_the_rules_page_names_it() -> None:
    assert {rule: rulebook.RULES[rule][0] for rule in RULES} == RULES


def test_C10_every_kind_of_output_has_its_rule() -> None:
    head = '[programme]\nname = "x"\nversion = 1\ncurrency = "USD"\n[[tiers]]\nname = "member"\n'
    shapes = [{"shape": shape} for shape in ("calendar", "festival", "silence", "rhythm", "level")]
    shapes += [{"shape": "event", "on": on} for on in EVENTS] + [{"shape": "promise", "on": on} for on in PROMISES]
    more = {"level": 'level = "LOST"\n', "bought": 'category = "tea"\n'}
    text = head
    for number, one in enumerate(shapes):
        text += f'[[care]]\nkind = "K{number}"\n' + "".join(f'{name} = "{value}"\n' for name, value in one.items())
        text += more.get(one["shape"], "") + more.get(one.get("on", ""), "")
    policy = load_policy(text)
    kinds: tuple[Care, ...] = policy.care

    def symbols(topic: str, name: str) -> list[str]:
        (field,) = (one for one in library.source(topic)["fields"] if one["name"] == name)
        return [one for one in field["type"]["symbols"] if one != "UNKNOWN"]

    outputs: list[tuple[str, dict[str, Any]]] = [(CUSTOMER_VALUE, {})]
    for code in (*rulebook.CONDITIONS, "policy", "club", None):
        outputs += [
            (TIER_CHANGES, {"direction": way, "reason_code": code}) for way in symbols(TIER_CHANGES, "direction")
        ]
    outputs += [(CHURN_RISK, {"transition": one}) for one in symbols(CHURN_RISK, "transition")]
    for status in symbols(CARE_REMINDERS, "status"):
        outputs += [(CARE_REMINDERS, {"kind": care.kind, "status": status}) for care in kinds]
    for topic, fields in outputs:
        for known in (policy, None):
            rules = rules_of(topic, fields, known)
            assert rules
            assert set(rules) <= set(RULES), (topic, fields)
    by_cause = {
        care.on or care.shape: rules_of(CARE_REMINDERS, {"kind": care.kind, "status": "DUE"}, policy)[0]
        for care in kinds
    }
    assert {on: by_cause[on] for on in ("tier_falling", "complaint", "follow_up", "silence", "rhythm")} == {
        "tier_falling": "T6", "complaint": "K1", "follow_up": "K2", "silence": "C5", "rhythm": "C1",
    }  # fmt: skip


# ---- finding it


class OneTopic:
    """A reader of outputs, without Kafka."""

    def __init__(self, *records: SimRecord) -> None:
        self._records = records

    def partitions(self, topic: str) -> int:
        return 4

    def begin(self, topic: str, partition: int) -> int:
        return 0

    def stream(self, topic: str, *, partition: int, **_: Any) -> Iterator[SimRecord]:
        return iter([one for one in self._records if partition_of(one.key or b"", 4) == partition])


def test_C10_an_output_is_found_whatever_colons_its_customer_has() -> None:
    shelf = Shelf(Driven())
    shelf.driven.buy(ANNA, T, 9_000)
    shelf.driven.tick(T + DAY)
    shelf.run()
    (of,) = (one for one in shelf.told if one.topic == TIER_CHANGES)
    for name in ("shop:7", "a:b:c", "tier-changes:x"):
        event_id = f"{TIER_CHANGES}:{name}:{T}:member:silver"
        value = write(of.topic, read(of.topic, of.value) | {"customer_id": name, "event_id": event_id})
        for headers in ((("ce_id", event_id.encode()),), ()):
            reader: Any = OneTopic(SimRecord(5, T, name.encode(), value, headers))
            found = command.find(reader, event_id)
            assert (found.offset, found.customer_id, found.event_id) == (5, name, event_id)
            with pytest.raises(LoyaltyError, match=r"no output .* on tier-changes: ids are compared to the letter"):
                command.find(reader, event_id + "x")


@pytest.mark.parametrize("wrong", ["anna", "", "purchases:anna:1", f"{POLICIES}:x:1"])
def test_C10_what_is_no_id_of_an_output_is_told_with_the_way_out(wrong: str) -> None:
    reader: Any = OneTopic()
    with pytest.raises(LoyaltyError, match=r"it begins with one of tier-changes:, .*subscribe TOPIC"):
        command.find(reader, wrong)
