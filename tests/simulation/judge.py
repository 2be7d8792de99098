"""What must hold when all is quiet: against an undisturbed run of the same shop, and against the shop's own book."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from processors import segments
from processors.care.actions import PLACE
from processors.care.book import reminder_id
from processors.census import FAMILIES
from processors.customer import Customer, Told
from processors.figures import count
from processors.grade import INSIDE, inside
from processors.history import History, Kin
from processors.kin import clv_of, level_of
from processors.merging import Merge, own_facts
from processors.view import from_hash, view
from processors.word_of_mouth import referrer_of
from schemas import state
from schemas.codec import read
from schemas.told import told_of as told_from
from schemas.topics import (
    CARE_REMINDERS,
    CHURN_RISK,
    COMPLAINTS,
    CONTACTS,
    CUSTOMER_VALUE,
    DEAD_LETTERS,
    EMPLOYEE_GRADES,
    PURCHASES,
    TIER_CHANGES,
    TOLD,
)
from tests.simulation.publisher import last_position
from tests.simulation.shop import HORIZON
from tests.simulation.world import World

Change = tuple[str, bytes]


def judge(world: World, undisturbed: World) -> None:
    """Raises AssertionError, which says what does not hold."""
    _at_rest(world)
    _due(world)
    _states(world, undisturbed)
    _kin(world)
    _changes(world, undisturbed)
    _told(world)
    _values(world)
    _dead_letters(world, undisturbed)
    _counters(world, undisturbed)
    _sales(world)
    _late(world)


def customers(world: World) -> dict[str, Customer]:
    """All customers of all partitions."""
    return {name: state.decode(blob) for part in world.store.partitions.values() for name, blob in part.states.items()}


def changes_of(world: World, topic: str = TIER_CHANGES) -> dict[str, list[Change]]:
    """What a read_committed reader of an output topic sees: customer to (id, bytes), in order."""
    told: dict[str, list[Change]] = defaultdict(list)
    for record in world.kafka.read_committed(topic):
        assert record.key is not None
        told[record.key.decode()].append((dict(record.headers)["ce_id"].decode(), record.value))
    return told


def _at_rest(world: World) -> None:
    for partition, held in world.store.partitions.items():
        left = held.outbox or held.values
        assert not left, f"p{partition}: the outbox is not empty at rest: {left}"
        fence, position = world.store.fence(partition), last_position(world.kafka, partition)
        if position is not None:
            assert position["seq"] <= fence.seq, f"p{partition}: published beyond the fence"


def _due(world: World) -> None:
    for partition, held in world.store.partitions.items():
        clock = world.store.fence(partition).clock
        due = {name: state.decode(blob).next_review for name, blob in held.states.items()}
        assert held.due == due, f"p{partition}: not exactly one due entry, at next_review, for each customer"
        states = {name: state.decode(blob) for name, blob in held.states.items()}
        assert held.views.keys() == {name for name, one in states.items() if _is_seen(one)}
        early = [name for name, at in due.items() if clock is not None and at <= clock]
        assert not early, f"p{partition}: still due at the clock: {early}"


def _is_seen(one: Customer) -> bool:
    """Whether there is a view of it: not of a place (K5), a grade (E2), nor of an id merged into another (D5)."""
    return not one.id.startswith((PLACE, INSIDE)) and one.moved_to is None


def _plain(customer: Customer, world: World) -> Customer:
    """Without what depends on when somebody looked (after a recovery `now` is the recovery's), or when news came."""
    clock = max(tick.clock or 0 for tick in map(world.store.fence, world.store.partitions))
    plain = state.canonical(customer, clock, HORIZON, world.shop.policy.calendar)
    plain = replace(plain, history=_without_kin(plain.history), merge=_merge_without_kin(plain.merge))  # see `_kin`
    return replace(plain, now=0) if world.rewound else plain


def _without_kin(history: History) -> History:
    return replace(history, kin={})


def _merge_without_kin(merge: Merge | None) -> Merge | None:
    if merge is None:
        return None
    parts = {name: replace(held, facts=_without_kin(held.facts)) for name, held in merge.parts.items()}
    return replace(merge, own=None if merge.own is None else _without_kin(merge.own), parts=parts)


def _settled(world: World) -> set[str]:
    """Whose told is that of the undisturbed run. A recovery reviews at its clock: what comes behind it, and happened
    before, finds a customer whose own time lies later than without it."""
    settled = world.shop.settled | {name for name in customers(world) if name.startswith(INSIDE)}
    return settled - world.shop.behind_a_tick() if world.recovered else settled


def _states(world: World, undisturbed: World) -> None:
    found, wanted = (
        {name: one for name, one in customers(which).items() if one.moved_to != ""}  # known by parts that are gone
        for which in (world, undisturbed)
    )
    assert found.keys() == wanted.keys(), f"other customers: {found.keys() ^ wanted.keys()}"
    assert not found.keys() & world.shop.gone, "an erased customer is there"
    settled = _settled(world)
    for name, customer in found.items():
        one, other = _plain(customer, world), _plain(wanted[name], world)
        assert one.merge == other.merge, f"{name}: {_differ(one.merge, other.merge)}"
        if name in settled:
            assert state.encode(one) == state.encode(other), f"{name}: {_differ(one, other)}"
            assert customer.told == wanted[name].told
        else:
            blank = {"told": Told(""), "now": 0, "next_review": 0, "context": ""}
            one, other = _whosever(replace(one, **blank)), _whosever(replace(other, **blank))
            assert state.encode(one) == state.encode(other), f"facts of {name}: {_differ(one.history, other.history)}"


def _whosever(customer: Customer) -> Customer:
    """Without who is in charge as it was counted (E1): that follows from what was told, as when one was pooled (E3)."""
    counted = customer.counted
    return customer if counted is None else replace(customer, counted=replace(counted, owner=None))


def _kin(world: World) -> None:
    """Whoever brought others knows what each of them is worth, and they know how their referrer stands, as of the
    other's last review (W2, W3). Where ids merge and come apart they hear under each, and late (D5)."""
    if world.shop.merges:
        return
    found = customers(world)
    policies = {policy.label: policy for policy in world.shop.policies.values()}
    views = {name: view for held in world.store.partitions.values() for name, view in held.views.items()}
    for name, one in found.items():
        if name.startswith((PLACE, INSIDE)):
            continue
        referrer, policy = referrer_of(one.history, name), policies[views[name]["policy"]]
        # Who was erased and came back hears of those brought before at their next review.
        if referrer in found and name in found[referrer].history.referred and referrer not in world.shop.erased:
            told = found[referrer].history.kin.get(name)
            assert told == Kin(one.now, level_of(one, policy), clv_of(one, policy)), (
                f"{referrer} knows {told} of {name}"
            )
        for brought in one.history.referred:
            if brought in found and referrer_of(found[brought].history, brought) == name:
                known = found[brought].history.kin.get(name)
                level = "OK" if known is None else known.level
                assert level == level_of(one, policy), f"{brought} believes {name} to be {level}"


def _differ(one: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    return {
        name: (getattr(one, name), getattr(other, name))
        for name in one.__struct_fields__
        if getattr(one, name) != getattr(other, name)
    }


def _changes(world: World, undisturbed: World) -> None:
    for topic, chain in ((TIER_CHANGES, _chain), (CHURN_RISK, _levels), (CARE_REMINDERS, _lives)):
        _told_once(world, undisturbed, topic, chain)
    _grades(world, undisturbed)


def _grades(world: World, undisturbed: World) -> None:
    """Ticks alone decide grades (E2): each change once, as in the undisturbed run, from one to the next."""
    found, wanted = changes_of(world, EMPLOYEE_GRADES), changes_of(undisturbed, EMPLOYEE_GRADES)
    states = customers(world)
    for name in found.keys() | wanted.keys():
        assert found[name] == wanted[name], f"{name}: {[i for i, _ in found[name]]}, not {[i for i, _ in wanted[name]]}"
        ids = [event_id for event_id, _ in found[name]]
        assert len(ids) == len(set(ids)), f"{name}: told twice"
        grade = "adviser"
        for change in (read(EMPLOYEE_GRADES, value) for _, value in found[name]):
            assert change["from_grade"] == grade, f"{name}: told to leave {change['from_grade']}, was in {grade}"
            grade = change["to_grade"]
        assert grade == states[inside(name)].told.tier, f"{name}: last told {grade}"


def _told_once(world: World, undisturbed: World, topic: str, chain: Callable[..., None]) -> None:
    found, wanted = changes_of(world, topic), changes_of(undisturbed, topic)
    states, settled = customers(world), _settled(world)
    for name in found.keys() | wanted.keys():
        ids = [event_id for event_id, _ in found[name]]
        assert len(ids) == len(set(ids)), f"{name}: told twice: {[i for i, n in Counter(ids).items() if n > 1]}"
        if name in settled:
            assert found[name] == wanted[name], f"{name}: told {ids}, undisturbed {[i for i, _ in wanted[name]]}"
        elif name in states and name not in world.shop.erased:  # who came back begins anew
            chain(name, states[name], [read(topic, value) for _, value in found[name]])


def _chain(name: str, customer: Customer, told: list[dict[str, Any]]) -> None:
    """Each change begins where the one before ended, and the last one is what holds."""
    tier, at = "member", -1
    for change in told:
        assert change["from_tier"] == tier, f"{name}: told to leave {change['from_tier']}, was in {tier}"
        assert change["at"] >= at, f"{name}: told of {change['at']} after {at}"
        tier, at = change["to_tier"], change["at"]
    assert tier == customer.told.tier, f"{name}: last told {tier}, is in {customer.told.tier}"


def _levels(name: str, customer: Customer, told: list[dict[str, Any]]) -> None:
    """Each alert begins at the level at which the one before ended, and the last level is what holds."""
    level, at = "OK", -1
    for alert in told:
        assert alert["previous_level"] == level, f"{name}: told to leave {alert['previous_level']}, was {level}"
        assert alert["at"] >= at, f"{name}: told of {alert['at']} after {at}"
        level, at = alert["level"], alert["at"]
    assert level == customer.told.level, f"{name}: last told {level}, is {customer.told.level}"


def _lives(name: str, customer: Customer, told: list[dict[str, Any]]) -> None:
    """Each reminder begins once and ends once at most, and those without an end are the open ones."""
    lives: dict[str, list[str]] = defaultdict(list)
    for one in told:
        lives[one["reminder_id"]].append(one["status"])
    for reminder, status in lives.items():
        assert status[0] in ("DUE", "HELD_OUT"), f"{reminder}: {status}"
        assert all(one == "ESCALATED" for one in status[1:-1]), f"{reminder}: {status}"
    left = {reminder for reminder, status in lives.items() if status[-1] in ("DUE", "ESCALATED")}
    held = {reminder_id(name, one.kind, one.cause) for one in customer.told.care.open}
    assert left == held, f"{name}: without an end {left - held}, open and never told {held - left}"


def _told(world: World) -> None:
    """The topic `told` holds what each customer was last told; who was never told anything is not in it."""
    last: dict[str, Told | None] = {}
    for record in world.kafka.read_committed(TOLD):
        assert record.key is not None
        fields = None if record.value is None else read(TOLD, record.value)
        told = None if fields is None else told_from(fields)
        last[record.key.decode()] = told
    for name, customer in customers(world).items():
        assert (last.get(name) or Told("member")) == customer.told, f"{name}: {last.get(name)} against {customer.told}"
    gone = [name for name, told in last.items() if told is not None and name not in customers(world)]
    assert not gone, f"told of people who are not there: {gone}"


def _values(world: World) -> None:
    """The last customer-value of each customer is the view in the hash, which is the view of the state."""
    last = {record.key: record.value for record in world.kafka.read_committed(CUSTOMER_VALUE)}
    views = {name: fields for held in world.store.partitions.values() for name, fields in held.views.items()}
    published = {
        key.decode(): {name.decode(): text.decode() for name, text in fields.items()}
        for key, fields in last.items()
        if key is not None and fields is not None
    }
    other = {name: _unlike(published[name], views[name]) for name in views.keys() & published.keys()}
    other = {name: fields for name, fields in other.items() if fields}
    assert published == views, f"customer-value is not the view: {published.keys() ^ views.keys()} {other}"
    policies = {policy.label: policy for policy in world.shop.policies.values()}
    for name, customer in customers(world).items():
        if not _is_seen(customer):
            continue
        policy = policies[str(from_hash(views[name])["policy"])]
        texts = {field: str(value) for field, value in view(customer, policy).items() if value is not None}
        assert texts == views[name], f"{name}: the view is not that of the state"


def _unlike(one: dict[str, str], other: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    names = sorted(one.keys() | other.keys())
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def _dead_letters(world: World, undisturbed: World) -> None:
    found = Counter(_letter(record.headers) for record in world.kafka.read_committed(DEAD_LETTERS))
    twice = [letter for letter, n in found.items() if n > 1]
    assert not twice, f"dead letters twice: {twice}"
    book = [row for row in world.shop.rows if row.dead and row.kind == "record"]
    wanted = Counter((row.topic, row.partition, row.dead) for row in book)
    assert Counter((topic, p, error) for topic, p, _, error in found) == wanted, f"{found} against the book's {wanted}"
    if not world.shop.live:
        assert _letters(world) == _letters(undisturbed), "dead letters differ from the undisturbed run's"


def _letter(headers: Any) -> tuple[str, int, int, str]:
    told = {name: value.decode() for name, value in headers}
    return told["dlq.topic"], int(told["dlq.partition"]), int(told["dlq.offset"]), told["dlq.error"]


def _letters(world: World) -> Counter[Any]:
    return Counter((record.key, record.value, record.headers) for record in world.kafka.read_committed(DEAD_LETTERS))


def _counters(world: World, undisturbed: World) -> None:
    policies = {policy.label: policy for policy in world.shop.policies.values()}
    for partition, held in world.store.partitions.items():
        there: Counter[str] = Counter()
        for name, blob in held.states.items():
            one = state.decode(blob)
            if name.startswith(PLACE):
                continue
            count(there, [(None, one)], policies[held.views[name]["policy"]] if _is_seen(one) else world.shop.policy)
        counted, present = ({name: n for name, n in c.items() if n and _of_people(name)} for c in (held.kpi, there))
        assert counted == present, f"p{partition}: counted {counted}, there are {present}"
        if not world.rewound:
            other = undisturbed.store.partitions[partition].kpi
            once = [name for name in held.kpi.keys() | other.keys() if name.startswith(("rerouted:", "dead_letters:"))]
            for name in once:
                assert held.kpi[name] == other[name], f"p{partition}: {name} {held.kpi[name]}, once is {other[name]}"


def _of_people(name: str) -> bool:
    """Whether the figure is a sum over the customers as they are; exits are of the past, too."""
    sorts = (
        "customers:", "risk:", "gained", "leads_", "sales_", "lost_referred", "referrers", "referrals_refused:",
        "complaints_", "resolve_le_", "grade:", "graded:", "charge", "overdue:", "benefits", "merged",
        "merges_refused:",
        *(f"{family}:" for family in (*FAMILIES, *segments.FAMILIES)),
    )  # fmt: skip
    return name.startswith(sorts) and name != "referrals_refused:self"


def _sales(world: World) -> None:
    """Each sale of the shop's book is folded once: found by its number, though it came late, twice or astray; and is
    of one customer once, whoever was merged into whom (D5)."""
    states = customers(world)
    shown = sum(one.history.lifetime_purchases for one in states.values() if one.moved_to is None)
    own = sum(own_facts(one.history, one.merge).lifetime_purchases for one in states.values())
    assert shown == own, f"{shown} purchases in views, {own} were made"
    for name, sales in world.shop.sales.items():
        if name in world.shop.erased | world.shop.gone:
            continue
        history = own_facts(states[name].history, states[name].merge)
        assert history.lifetime_purchases == len(sales), f"{name}: {history.lifetime_purchases} of {len(sales)} sales"


def _late(world: World) -> None:
    """What was written in time is never late, for a tick waits until the others are read up to it."""
    if world.rewound:
        return
    late: Counter[tuple[str, int]] = Counter()
    for row in world.shop.rows:
        if row.kind == "record" and row.topic in (PURCHASES, COMPLAINTS, CONTACTS) and row.value and not row.dead:
            late[row.topic, row.partition] += read(row.topic, row.value)["occurred_at"] < row.at
    for (topic, partition), most in late.items():
        counted = world.store.partitions[partition].kpi[f"late:{topic}"]
        assert counted <= most, f"p{partition}: {counted} of {topic} were late, {most} were written late"
