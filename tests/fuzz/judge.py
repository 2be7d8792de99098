"""One input through the loop, and what must hold of it. Raises AssertionError with what does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from processors.customer import Customer
from processors.events import Tick
from schemas import library, state
from schemas.codec import decode, read
from schemas.customer_value import encode_view
from schemas.partitioner import partition_of
from schemas.topics import CUSTOMER_VALUE, CUSTOMERS, DEAD_LETTERS, INPUTS, PURCHASES, RELAY, TICKS, TOLD, bytes_max
from sinks.commit import Record
from tests.core.test_time_order import Record as Fetched
from tests.fuzz import effects, plain
from tests.fuzz.bases import HERE, MINUTE, PARTITIONS, T
from tests.fuzz.inputs import Input
from tests.fuzz.plain import FIELDS, Reading
from tests.fuzz.values import AHEAD
from tests.fuzz.world import VARIANTS, Around, PolicyAsked, Ran, World, around, seen, undisturbed, with_input, world
from tests.simulation.shop import HORIZON

DEAD, FOLDED, IGNORED, REROUTED, WAITS = "dead letter", "folded", "ignored", "rerouted", "waits"
"""What becomes of a record. Ignored: a repeat, or an erase forbids it. Waits: a tick names a policy that nobody has."""

_DLQ = ("dlq.topic", "dlq.partition", "dlq.offset", "dlq.error", "dlq.message", "dlq.at")
_KEPT_BYTES, _KEPT_OF_KEY_BYTES = 65_536, 256
_UNREADABLE = ("BrokenAvro", "UnknownSchema", "ConfluentFramed")
_RETRIED_OF = 3
"""Each letter is retried, but of those that nobody can read every third: most are such, and leave the same behind."""
_TIMELESS = ("CLAIM", "WITHDRAWAL", "STANDING", "MISHAP", "PART", "FORGOTTEN")


class Event(Struct):
    """A record that is an event: of whom, of what topic, with what fields. recorded_at: the original's. erase: it is
    one."""

    who: str
    topic: str
    fields: Mapping[str, Any]
    recorded_at: int
    erase: bool = False


class Verdict(Struct):
    """What must become of it. errors: of a dead letter the classes of which it may be. shifted: others may have their
    turn at another time than without it, so that facts are the same and what is told need not be. clock: at its
    turn."""

    kind: str
    errors: tuple[str, ...] = ()
    shifted: bool = False
    clock: int | None = None


def judge(given: Input) -> tuple[str, str]:
    """(what became of it, the class of its dead letter or "")."""
    here, variant = world(given.world), given.seed % VARIANTS
    these, alone = around(given.world, given.topic, variant), undisturbed(given.world, given.topic, variant)
    record = Fetched(these.offset, given.timestamp, given.key, given.value, given.headers)
    reading = plain.read(given.topic, given.value, given.key, here.registered is not None)
    event = event_of(given, reading)
    try:
        ran = here.run(with_input(these, given.topic, record))
    except PolicyAsked as wanted:
        return _waits(given, reading, wanted.key)
    letters = [one for one in ran.outbox if one.topic == DEAD_LETTERS]
    verdict = expected(given, reading, event, these, here)
    if letters:
        error = _letter(given, record, letters, verdict, reading)
        _as_if_it_was_not_there(here, alone, ran, verdict.shifted, None)
        if error not in _UNREADABLE or given.seed % _RETRIED_OF == 0:
            _retried(given, here, alone, ran, these)
        return DEAD, error
    assert verdict.kind != DEAD or reading.unsure, (
        f"must be a dead letter, {verdict.errors} {reading.bad}: {reading.fields!r:.300}"
    )
    _positions(ran, these)
    _all_can_be_read(ran, given.value)
    if reading.fields is not None and given.topic == TICKS:
        assert ran.loop.clock == max(reading.fields["at"], alone.loop.clock or 0, here.clock or 0), (
            "the clock is another"
        )
        return FOLDED, ""
    assert event is not None
    if verdict.kind == REROUTED:
        _rerouted(given, record, event, reading, ran)
        _as_if_it_was_not_there(here, alone, ran, verdict.shifted, None)
        return REROUTED, ""
    _as_if_it_was_not_there(here, alone, ran, verdict.shifted, event.who)
    if verdict.kind == IGNORED:
        name = effects.NAMES[event.topic]
        what = [f"{reason}:{name}" for reason in ("duplicates", "erased")]
        assert sum(ran.counts[one] - alone.counts[one] for one in what) == 1, "it is counted nowhere"
        assert _sums(ran.customer(event.who)) == _sums(alone.customer(event.who)), "a repeat changes something"
        return IGNORED, ""
    _folded(event, alone, ran, here)
    return FOLDED, ""


def _waits(given: Input, reading: Reading, key: str) -> tuple[str, str]:
    assert given.topic == TICKS, "a policy is asked for, and it is no tick"
    assert reading.fields is not None
    assert not reading.errors, "a policy is asked for, and there is no such tick"
    assert key == reading.fields["policy"]
    return WAITS, ""


# ---- what must become of it


def event_of(given: Input, reading: Reading) -> Event | None:
    """What is to be folded; None: nothing, it is bad or a tick."""
    if given.topic == TICKS or (reading.fields is None and reading.erased is None) or reading.errors:
        return None
    if reading.erased is not None:
        return Event(reading.erased, CUSTOMERS, {}, given.timestamp, True)
    assert reading.fields is not None
    inner = reading.inner
    if inner is None:
        return Event(reading.fields["customer_id"], given.topic, reading.fields, given.timestamp)
    erase = inner.erased is not None
    who = reading.fields["customer_id"]
    return Event(who, reading.fields["topic"], inner.fields or {}, reading.fields["recorded_at"], erase)


def expected(given: Input, reading: Reading, event: Event | None, these: Around, here: World) -> Verdict:
    """By the contract's sentences alone."""
    if reading.errors:
        return Verdict(DEAD, reading.errors)
    if event is None:
        return Verdict(FOLDED, shifted=True)
    at = given.timestamp if event.erase else event.fields["occurred_at"]
    ahead = not event.erase and at > event.recorded_at + AHEAD
    shifted = at > these.next_at and (here.clock is None or not ahead)
    if partition_of(event.who.encode(), PARTITIONS) != HERE:
        if len(given.key or b"") + len(given.value or b"") > bytes_max(given.topic):
            return Verdict(DEAD, ("Oversize",), shifted)
        return Verdict(REROUTED, (), shifted)
    turn = these.at if ahead and here.clock is not None else max(these.at, at)
    passed = [tick for tick in these.ticks if tick < turn][: 1 if ahead else None]
    clock = max(passed, default=here.clock) if here.clock is None else max(here.clock, *passed, 0)
    if event.erase or event.fields.get("kind") in _TIMELESS:
        return Verdict(FOLDED, (), shifted)
    if clock is not None and at < clock - HORIZON:
        return Verdict(DEAD, ("TooLate",), shifted, clock)
    if clock is not None and ahead:
        return Verdict(DEAD, ("TooFarAhead",), shifted, clock)
    return _booked(event, here, Verdict(FOLDED, (), shifted, clock))


def _booked(event: Event, here: World, verdict: Verdict) -> Verdict:
    """Whether it can be folded into the customer as they are."""
    if event.topic == PURCHASES and event.fields["currency"] not in effects.RATES:
        return Verdict(DEAD, ("UnknownCurrency",), verdict.shifted, verdict.clock)
    before = here.before(event.who)
    erased = here.erased_until(event.who)
    if before is not None:
        erased = max(erased, before.history.not_before)
    repeated = (event.topic, event.who, event.fields["event_id"]) in seen() and here.clock is not None
    if event.topic != RELAY and (event.fields["occurred_at"] <= erased or repeated):
        return Verdict(IGNORED, (), verdict.shifted, verdict.clock)
    if event.topic == PURCHASES and effects.too_much(before, event.fields, here.config.policy):
        return Verdict(DEAD, ("TooMuch",), verdict.shifted, verdict.clock)
    return verdict


# ---- a dead letter


def _letter(given: Input, record: Fetched, letters: list[Record], verdict: Verdict, reading: Reading) -> str:
    """The one letter is what came, unchanged, and says what was wrong with it. Gives the class."""
    assert len(letters) == 1, f"{len(letters)} dead letters of one record"
    letter = letters[0]
    told = {name: held for name, held in letter.headers if name in _DLQ}
    error, message = told["dlq.error"].decode(), told["dlq.message"].decode()
    allowed = (*verdict.errors, "BadField") if reading.unsure else verdict.errors
    if error == "BrokenAvro" and "BrokenAvro" not in verdict.errors:  # fastavro takes more than Avro allows
        assert not reading.canonical or message.endswith("nested too deep"), f"a good record is refused: {message}"
    else:
        assert error in allowed, f"{error} ({message}): must be {verdict.kind} {verdict.errors} {reading.bad}"
    if error == "BrokenAvro" and given.topic != RELAY:
        assert given.sound is not True, f"refused, and follows its schema: {message}"
    own = tuple(pair for pair in given.headers if not pair[0].startswith("dlq.") or pair[0] == "dlq.retry")
    size = len(given.value or b"") + len(given.key or b"") + sum(len(name) + len(held) for name, held in own)
    if size > bytes_max(DEAD_LETTERS) - 262_144:
        assert dict(letter.headers)["dlq.size"] == str(len(given.value or b"")).encode()
        assert letter.value == (given.value or b"")[:_KEPT_BYTES]
        assert letter.key == (given.key and given.key[:_KEPT_OF_KEY_BYTES])
    else:
        assert (letter.value, letter.key) == (given.value, given.key), "other bytes than came"
        assert letter.headers[: len(own)] == own, "other headers than came"
        assert tuple(name for name, _ in letter.headers[len(own) :]) == _DLQ
    place = given.topic, str(HERE), str(record.offset)
    assert tuple(told[name].decode() for name in _DLQ[:3]) == place, f"it lay at {place}"
    assert int(told["dlq.at"]) >= 0 or given.timestamp < 0
    if verdict.clock is not None:
        assert int(told["dlq.at"]) == verdict.clock, f"dlq.at is {told['dlq.at']!r}, the clock was {verdict.clock}"
    _says_why(given, reading, error, message)
    return error


def _says_why(given: Input, reading: Reading, error: str, message: str) -> None:
    names = FIELDS[given.topic]
    if given.topic == RELAY:
        names = names.union(*FIELDS.values())
    first = re.match(r"[a-z_]+", message)
    field = first[0] if first else ""
    if error == "BadField":
        assert field in names, f"names no field: {message}"
        forbidden = {re.split(r"[\[ .?]", path)[0] for path in reading.bad}
        assert field in forbidden or reading.unsure, f"{field} is not among {forbidden}: {message}"
    elif error == "BrokenAvro":
        located = re.search(r" at byte \d+ of the Avro body: ", message)
        assert (located and field in names | {"tree", "factor"}) or re.match(
            r"\d+ bytes follow the end|the value (is empty|is null|ends after)", message
        ), f"names neither field nor place: {message}"
    else:
        want = {
            "TooLate": "occurred_at is ", "TooFarAhead": "occurred_at is ", "UnknownCurrency": "currency: ",
            "TooMuch": "lines: ", "Oversize": "bytes", "BadKey": "key", "ConfluentFramed": "schema id",
            "UnknownSchema": "fingerprint|schema id|framing",
        }[error]  # fmt: skip
        assert re.search(want, message), f"does not say {want}: {message}"


def _retried(given: Input, here: World, alone: Ran, ran: Ran, these: Around) -> None:
    """The corrected original is folded behind all else, once, however often it comes."""
    value, key = given.mended
    at = these.behind[given.topic]
    again = [Fetched(at + n, T + 56 * MINUTE, key, value, (("dlq.retry", b"1"),)) for n in range(2)]
    told, was = len(ran.commits), ran.counts
    here.more(ran, {given.topic: again})
    letters = [one for commit in ran.commits[told:] for one in commit.outbox if one.topic == DEAD_LETTERS]
    assert not letters, f"the corrected record is refused: {letters[0].headers}"
    assert ran.loop.positions[given.topic] == at + 2
    reading = plain.read(given.topic, value, key, False)
    event = decode(given.topic, value, key)
    if isinstance(event, Tick):
        assert ran.loop.clock == max(event.at, alone.loop.clock or 0), "the clock is another"
        return
    assert reading.fields is not None
    fields = reading.fields if reading.inner is None else reading.inner.fields
    topic = given.topic if reading.inner is None else reading.fields["topic"]
    assert fields is not None
    _folded(Event(fields["customer_id"], topic, fields, T), alone, ran, here)
    if topic in effects.NAMES:
        name = f"duplicates:{effects.NAMES[topic]}"
        assert ran.counts[name] == was[name] + 1, "the repeat of the corrected record is not counted as one"


# ---- what it leaves alone, and what it changes


def _as_if_it_was_not_there(here: World, alone: Ran, ran: Ran, shifted: bool, but: str | None) -> None:
    """All customers but one are as without the record, and what was told of them."""
    mine, theirs = ran.held, alone.held
    for name in mine.states.keys() | theirs.states.keys():
        if name == but:
            continue
        have, want = mine.states.get(name), theirs.states.get(name)
        if shifted and have is not None and want is not None:
            have, want = (_facts(here, state.decode(one), alone.loop.clock) for one in (have, want))
        assert have == want, f"{name} is not as without it"
    if mine.erased != theirs.erased:
        mark = here.store.mark(but or "")
        assert {**mine.erased, mark: 0} == {**theirs.erased, mark: 0}, "others are erased"
    if not shifted:
        one = but or ""
        assert {**mine.due, one: 0} == {**theirs.due, one: 0}, "others are due at other times"
        assert {**mine.views, one: {}} == {**theirs.views, one: {}}, "others have another view"
    if but is None and not shifted:
        extra = (DEAD_LETTERS, RELAY)
        told, want_told = ([_numberless(r) for r in one.outbox if r.topic not in extra] for one in (ran, alone))
        assert told == want_told, "others were told something else"


def _numberless(record: Record) -> Record | dict[str, Any]:
    """Without the number of the commit that told it: a dead letter may be a commit of its own."""
    if record.topic != TOLD or record.value is None:
        return record
    return read(TOLD, record.value) | {"seq": None}


def _facts(here: World, customer: Customer, clock: int | None) -> bytes:
    return state.facts_bytes(customer, clock, HORIZON, here.config.policy.calendar)


def _positions(ran: Ran, these: Around) -> None:
    for topic in INPUTS:
        assert ran.loop.positions.get(topic, 0) == these.behind[topic], f"the position in {topic} is another"


def _sums(customer: Customer | None) -> tuple[int, ...]:
    held = effects.facts(customer)
    return held.lifetime_value, held.lifetime_purchases, held.lifetime_margin, held.lifetime_serve


def _folded(event: Event, alone: Ran, ran: Ran, here: World) -> None:
    before, after = alone.customer(event.who), ran.customer(event.who)
    if event.erase:
        known = here.clock is not None or before is None  # before the first tick nobody unknown can be erased
        assert not known or after is None or after.history.not_before >= 0, "the customer is not erased"
    elif event.topic == RELAY:
        if event.fields["kind"] != "FORGOTTEN" and event.fields["occurred_at"] > here.erased_until(event.who):
            effects.relayed(event.fields, here.before(event.who), after)
    else:
        effects.check(event.topic, event.fields, before, after, here.config.policy)


def _rerouted(given: Input, record: Fetched, event: Event, reading: Reading, ran: Ran) -> None:
    """It travels whole, once, to whom it belongs."""
    sent = [one for one in ran.outbox if one.topic == RELAY and one.key == event.who.encode()]
    if given.topic == RELAY:
        assert given.value in [one.value for one in sent], "it does not go on as it came"
        return
    found = [decoded for one in sent if (decoded := plain.read(RELAY, one.value, one.key, False)).inner is not None]
    assert len(found) == 1, f"it travels {len(found)} times"
    fields, inner = found[0].fields, found[0].inner
    assert fields is not None
    assert inner is not None
    lay = fields["topic"], fields["partition"], fields["offset"], fields["recorded_at"], fields["key"]
    assert lay == (given.topic, HERE, record.offset, given.timestamp, given.key), "it lay elsewhere"
    assert (inner.fields, inner.erased) == (reading.fields, reading.erased), "it is another record now"
    if given.value is None or given.value[:1] != b"\0":
        assert fields["record"] == given.value, "it is other bytes now"


def _all_can_be_read(ran: Ran, came: bytes | None) -> None:
    """What leaves can be read by others, and the broker takes it; what goes on as it `came` is as it was."""
    for one in ran.outbox:
        if one.topic != DEAD_LETTERS and one.value is not None and one.value != came:
            _read(one.topic, one.value)
        size = len(one.key or b"") + len(one.value or b"") + sum(len(name) + len(held) for name, held in one.headers)
        assert size + 1_024 <= bytes_max(one.topic), f"{size:,} bytes are too many for {one.topic}"
    for name, view in ran.held.views.items():
        if name in ran.held.values and ran.held.values[name] >= (ran.commits[0].seq if ran.commits else 0):
            value, _ = encode_view(HERE, [part.encode() for pair in view.items() for part in pair])
            _read(CUSTOMER_VALUE, value)
            assert len(value) + 4_096 <= bytes_max(CUSTOMER_VALUE), f"the view of {name:.20} has {len(value):,} bytes"


def _read(topic: str, value: bytes) -> None:
    assert value[:10] == b"\xc3\x01" + library.newest_fingerprint(topic)
    fields = plain.avro(topic, value[10:])
    assert fields is not None, f"a record of {topic} that nobody can read: {value!r:.200}"
