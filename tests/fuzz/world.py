"""Where an input comes in: one partition that has lived already, good records around the input, the production loop.

What has happened before, and what the good records alone come to, is worked out once a process and copied for each
input: so one costs about a millisecond.

    plain     people with all kinds of history, no care
    care      the same with care, in New York, and a tick whose policy asks for shares
    fresh     nothing has happened yet, not even a tick
    registry  as plain, with a schema registry that knows our schemas and others
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from processors.customer import Customer
from processors.history import on_day
from processors.policy import Policy
from schemas import state
from schemas.codec import decode, decoding, write
from schemas.registry import Registered
from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, INPUTS, PURCHASES, RELAY, TICKS
from sinks.commit import Commit, Load, Loaded, Record
from sinks.memory import MemoryStore, Partition
from streams.outgoing import Outgoing
from streams.partition import AskEnds, NeedPolicy, PartitionLoop
from streams.plan import LoopConfig
from streams.texts import wording
from streams.time_order import End
from tests.core.test_time_order import Record as Fetched
from tests.fuzz.bases import (
    ANNA,
    BO,
    CLEO,
    DAN,
    DAY,
    ELSEWHERE,
    EVE,
    GOOD,
    HERE,
    MINUTE,
    NEW,
    PARTITIONS,
    PLACE,
    POOR,
    RICH,
    Fields,
    T,
    complaint,
    contact,
    key_of,
    profile,
    purchase,
)
from tests.fuzz.mutations import FOREIGN, foreign_of, registry_id, schemas_of
from tests.simulation.shop import HORIZON, policy

VARIANTS = 4
"""How many sets of good records there are around an input of each topic."""
BEFORE, MIDDLE, AFTER, END = T + 5 * MINUTE, T + 30 * MINUTE, T + 40 * MINUTE, T + 55 * MINUTE
"""When they are: a record of the input's topic, maybe a tick; one of its topic and another, maybe a tick."""
STEPS_MAX = 10_000
_LAST = 1 << 60
"""Of whoever asks for the ends of the topics once all has been handed over."""
LIMIT = 2**63

_Logs = dict[str, list[Fetched]]


class PolicyAsked(Exception):
    """A tick names a policy that nobody has, by `key`: the partition waits for a person, as it should."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Ran(Struct):
    """What a run came to."""

    loop: PartitionLoop
    held: Partition
    commits: list[Commit]

    @property
    def outbox(self) -> list[Record]:
        return [record for commit in self.commits for record in commit.outbox]

    @property
    def counts(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for commit in self.commits:
            total.update(commit.counts)
        return total

    def customer(self, name: str) -> Customer | None:
        blob = self.held.states.get(name)
        return None if blob is None else state.decode(blob)


class World:
    """config: of every loop in it. clock: stream time when the good records come, None before the first tick."""

    def __init__(self, name: str) -> None:
        self.store = MemoryStore(erase_key=b"k")
        self.registered = _registry() if name == "registry" else None
        self.config = LoopConfig(
            partitions=PARTITIONS,
            policy=_policy(name),
            outgoing=Outgoing(self.store.mark, wording, self.registered),
            horizon_ms=HORIZON,
            decode=decode if self.registered is None else decoding(self.registered),
        )
        self.held = Partition()
        self.clock: int | None = None
        self.positions: dict[str, int] = dict.fromkeys(INPUTS, 0)
        if name != "fresh":
            self._live()

    def _live(self) -> None:
        """All that has happened before the input."""
        logs: _Logs = {topic: [] for topic in INPUTS}
        for topic, fields, at in _history():
            logs[topic].append(Fetched(len(logs[topic]), at, key_of(topic, fields), write(topic, fields)))
        logs[CUSTOMERS].append(Fetched(len(logs[CUSTOMERS]), T - 3 * DAY, DAN.encode(), None))
        ran = self.run(logs, self.held)
        for record in ran.outbox:
            if record.topic == RELAY and record.key in [name.encode() for name in (ANNA, BO, CLEO, EVE)]:
                logs[RELAY].append(Fetched(len(logs[RELAY]), T - 2 * DAY, record.key, record.value))
        logs[TICKS].append(Fetched(1, T, None, write(TICKS, {"at": T})))
        ran = self.run(logs, ran.held)
        self.held, self.clock = ran.held, ran.loop.clock
        self.positions = dict(ran.loop.positions)
        for name, sign in ((RICH, 1), (POOR, -1)):
            self.held.states[name] = state.encode(_near_the_end(ran.customer(name), sign, self.config.policy))
        self.held.outbox.clear()

    def before(self, name: str) -> Customer | None:
        """The customer before the good records come."""
        blob = self.held.states.get(name)
        return None if blob is None else state.decode(blob)

    def erased_until(self, name: str) -> int:
        """Up to when (ms) events of the id stay forgotten, -1: it was never erased."""
        return self.held.erased.get(self.store.mark(name), -1)

    def fresh(self) -> Partition:
        """A copy of what is held before the input."""
        held = self.held
        views = {name: dict(view) for name, view in held.views.items()}
        return Partition(
            dict(held.fence),
            dict(held.states),
            views,
            dict(held.due),
            dict(held.values),
            dict(held.erased),
            Counter(),
            [],
        )

    def run(self, logs: _Logs, held: Partition | None = None) -> Ran:
        """All of `logs` through a new owner's loop, beginning at `held`."""
        held = self.fresh() if held is None else held
        self.store.partitions = {HERE: held}
        ran = Ran(PartitionLoop(HERE, self.store.take_epoch(HERE), self.config), held, [])
        self.more(ran, logs)
        return ran

    def more(self, ran: Ran, logs: _Logs) -> None:
        """`logs` to the same loop, until it is idle. Raises PolicyAsked."""
        loop, store = ran.loop, self.store
        assert store.partitions[HERE] is ran.held, "another run has begun"
        if self.registered is not None:
            values = [record.value for records in logs.values() for record in records]
            for number in self.registered.unknown(values):
                self.registered.refuse(number, "is not known")
        ends = {}
        for topic in INPUTS:
            records = logs.get(topic, ())
            position = records[-1].offset + 1 if records else loop.positions.get(topic, 0)
            loop.receive(topic, records, position)
            ends[topic] = End(position, position)
        loop.ends(ends, _LAST)
        for _ in range(STEPS_MAX):
            match loop.work():
                case Load() as load:
                    loop.loaded(store.load(HERE, load) if load.asks else Loaded({}))
                case Commit() as commit:
                    ran.commits.append(commit)
                    loop.committed(store.commit(commit))
                case AskEnds(asked):
                    loop.ends(ends, asked)
                case NeedPolicy(key):
                    raise PolicyAsked(key)
                case None:
                    assert loop.idle, "nothing to do and not idle"
                    return
        raise AssertionError("the loop does not come to rest")


@cache
def world(name: str) -> World:
    """The world of that name, made once."""
    return World(name)


class Around(Struct, frozen=True):
    """Good records by topic, with a place left free for the input at `offset` of its topic. at: the time of the last
    good one before it in its topic; next_at: of the first behind it."""

    logs: _Logs
    offset: int
    at: int
    next_at: int
    behind: dict[str, int]
    ticks: tuple[int, ...]


@cache
def around(name: str, topic: str, variant: int) -> Around:
    """The good records."""
    rng, base = Random(f"{topic}{variant}"), world(name).positions
    logs: _Logs = {each: [] for each in INPUTS}
    place = 0

    def put(each: str, at: int) -> None:
        fields = _harmless(GOOD[each](rng, at), rng, each)
        logs[each].append(Fetched(behind(each), T + 20 * MINUTE, key_of(each, fields), write(each, fields)))

    def behind(each: str) -> int:
        return base.get(each, 0) + len(logs[each]) + (each == topic and place > 0)

    put(topic, BEFORE)
    at, place = behind(topic), 1
    if topic != TICKS and variant == 2:
        put(TICKS, MIDDLE)
    put(topic, AFTER)
    if variant < 2:
        put(CONTACTS if topic == PURCHASES else PURCHASES, AFTER + MINUTE)
    if topic != TICKS and variant in (0, 2):
        put(TICKS, END)
    ticks = tuple(decode(TICKS, record.value, None).at for record in logs[TICKS])  # type: ignore[union-attr]
    return Around(logs, at, BEFORE, AFTER, {each: behind(each) for each in INPUTS}, ticks)


def _harmless(fields: Fields, rng: Random, topic: str) -> Fields:
    """A good record that merges and erases nobody, is not about those who have nearly too much, and means the same in
    whatever turn it comes: how another stands is nothing to who is not known yet."""
    if topic == RELAY and fields["kind"] in ("FORGOTTEN", "MISHAP", "PART", "STANDING"):
        fields |= {"kind": "CLAIM", "referrer_id": BO, "other_id": None, "record": None}
    if topic == CUSTOMERS:
        fields["merged_into"] = None
    if fields.get("customer_id") in (RICH, POOR, PLACE):
        fields["customer_id"] = rng.choice((BO, ANNA, NEW[0]))
    return fields


@cache
def undisturbed(name: str, topic: str, variant: int) -> Ran:
    """What the good records alone come to; the input's offset is a gap, as markers of transactions are."""
    return world(name).run(around(name, topic, variant).logs)


def with_input(these: Around, topic: str, record: Fetched) -> _Logs:
    """The good records and the input between them."""
    log = these.logs[topic]
    at = sum(one.offset < record.offset for one in log)
    return these.logs | {topic: [*log[:at], record, *log[at:]]}


# ---- what has happened


@cache
def seen() -> frozenset[tuple[str, str, str]]:
    """(topic, customer, event id) of all that has happened, but for those who were erased since."""
    found = ((topic, fields["customer_id"], fields["event_id"]) for topic, fields, _ in _history() if topic != TICKS)
    return frozenset(one for one in found if one[1] != DAN)


def _policy(name: str) -> Policy:
    if name == "care":
        return policy(2, "America/New_York", 12_000, "min_value_share_rank = 0.2", 10, "true", 1)
    return policy(1, "UTC", 8_000, "min_referrals_365d = 2", 10, "false")


def _history() -> Iterable[tuple[str, Fields, int]]:
    """(topic, fields, when it was recorded): the first tick is there before all."""
    rng = Random(5)
    first = T - 60 * DAY
    yield TICKS, {"at": first}, first
    short = {ANNA: "anna", BO: "bo"}
    for name in (ANNA, BO, CLEO, DAN, EVE, RICH, POOR):
        for number in range(3):
            at = T - (50 - 9 * number) * DAY
            own = {"customer_id": name, "event_id": f"e-{short.get(name, name)}-{number}"}
            sale = {"kind": "SALE", "currency": "USD"} if number == 0 else {}
            yield PURCHASES, purchase(rng, at) | own | sale, at
        for topic, made in ((CONTACTS, contact), (COMPLAINTS, complaint)):
            own = {"customer_id": name, "event_id": f"e-{short.get(name, name)}-0"}
            yield topic, made(rng, T - 20 * DAY) | own, T - 20 * DAY
        into = {CLEO: ANNA, EVE: ELSEWHERE[0]}.get(name)
        yield CUSTOMERS, profile(rng, T - 15 * DAY) | {"customer_id": name, "merged_into": into}, T - 15 * DAY


def _near_the_end(one: Customer | None, sign: int, of: Policy) -> Customer:
    """A customer whose sums hold hardly more."""
    assert one is not None
    more, day = sign * (LIMIT - 5 * 10**12), of.calendar.day_of(T - DAY)
    history = one.history
    changes = on_day(history, day, more - history.value, 0, 0, more - history.margin, 0)
    lifetime = {"lifetime_value": more, "lifetime_margin": more}
    return replace(one, history=replace(history, **changes, **lifetime))


def _registry() -> Registered:
    made = Registered("http://registry")
    for topic in INPUTS:
        for number, schema in enumerate(schemas_of(topic)):
            made.learn(registry_id(topic, number), json.dumps(schema))
        made.learn(FOREIGN + registry_id(topic, 0), json.dumps(foreign_of(topic)))
    return made
