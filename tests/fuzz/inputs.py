"""From a seed one input: a good record, what was done to it, and the record as it comes.

Three layers: bytes, the structure of Avro, values of fields. The seed is the whole report, so all chance is `rng`'s.
"""

from __future__ import annotations

from random import Random

from msgspec import Struct

from schemas.topics import COMPLAINTS, CONTACTS, CUSTOMERS, PURCHASES, RELAY, TICKS
from tests.fuzz.bases import GOOD, HERE, Fields, T
from tests.fuzz.mutations import MUTATIONS, REROUTABLE, Draft, schemas_of

WORLDS = {"plain": 4, "care": 1, "fresh": 3, "registry": 3}
"""Where an input comes in, and how often: see `world.py`."""
_WEIGHTS = {PURCHASES: 34, COMPLAINTS: 14, CONTACTS: 15, CUSTOMERS: 17, RELAY: 15, TICKS: 5}


class Input(Struct):
    """mutation: layer and name of what was done. sound: whether the bytes follow the schema that they name, None: that
    was left to chance. mended: value and key of the good record."""

    seed: int
    world: str
    topic: str
    mutation: str
    value: bytes | None
    key: bytes | None
    timestamp: int
    headers: tuple[tuple[str, bytes], ...]
    sound: bool | None
    mended: tuple[bytes, bytes | None]


_NAMES = tuple(MUTATIONS)
_OFTEN = tuple(often for _, often in MUTATIONS.values())
_WORLDS, _WORLDS_OFTEN = tuple(WORLDS), tuple(WORLDS.values())
_TOPICS, _TOPICS_OFTEN = tuple(_WEIGHTS), tuple(_WEIGHTS.values())


def make(seed: int) -> Input:
    """The input of a seed."""
    rng = Random(seed)
    world = rng.choices(_WORLDS, _WORLDS_OFTEN)[0]
    topic = rng.choices(_TOPICS, _TOPICS_OFTEN)[0]
    inner: Draft | None = None
    if topic == RELAY and rng.random() < 0.5:
        inner_topic = rng.choice(REROUTABLE)
        inner = _draft(rng, world, inner_topic)
        fields = enveloped(rng, inner_topic, inner.fields, inner.whole(), inner.key)
        draft = Draft(rng, world, topic, fields, len(schemas_of(topic)) - 1)
    else:
        draft = _draft(rng, world, topic)
    mended = Draft(rng, world, topic, draft.fields, len(schemas_of(topic)) - 1)
    mutation = rng.choices(_NAMES, _OFTEN)[0]
    if inner is not None and rng.random() < 0.6:
        draft = _with(draft, inner, mutation)
    else:
        MUTATIONS[mutation][0](draft)
    value = None if draft.is_null else draft.whole() if draft.value is None else draft.value
    return Input(
        seed, world, topic, mutation, value, draft.key, draft.timestamp, _headers(rng), draft.sound,
        (mended.whole(), mended.key),
    )  # fmt: skip


def _draft(rng: Random, world: str, topic: str) -> Draft:
    """Mostly under the newest schema."""
    last = len(schemas_of(topic)) - 1
    return Draft(rng, world, topic, GOOD[topic](rng, None), last if rng.random() < 0.8 else rng.randint(0, last))


def _with(envelope: Draft, inner: Draft, mutation: str) -> Draft:
    """The record inside is mutated, and travels with its own key."""
    MUTATIONS[mutation][0](inner)
    value = None if inner.is_null else inner.whole() if inner.value is None else inner.value
    envelope.fields = envelope.fields | {"record": value, "key": inner.key, "recorded_at": max(inner.timestamp, 0)}
    who = inner.fields.get("customer_id", "")
    if who and not who.startswith(("place:", "grade:")) and len(who.encode()) <= 128:
        envelope.fields["customer_id"] = who
    envelope.rewrite(envelope.fields)
    return envelope


def enveloped(rng: Random, topic: str, fields: Fields, value: bytes | None, key: bytes | None) -> Fields:
    """A record of `relay` around one that came to the wrong partition."""
    return {
        "event_id": fields["event_id"], "kind": "REROUTED", "customer_id": fields["customer_id"],
        "occurred_at": fields["occurred_at"], "topic": topic, "partition": 1 - HERE, "offset": rng.randrange(1_000),
        "recorded_at": T, "key": key, "record": value, "referred_customer_id": None, "referrer_id": None, "level": None,
        "clv": None, "other_id": None,
    }  # fmt: skip


_OWN = (("traceparent", b"00-ab-cd-01"), ("x", b"\xff\x00"), ("", b""), ("dlq.retry", b"3"), ("ünïcode", "ß".encode()))
_FALSE = (("dlq.error", b"Nothing"), ("dlq.offset", b"-1"))


def _headers(rng: Random) -> tuple[tuple[str, bytes], ...]:
    """Mostly none; now and then a sender's own, and such as pretend to be ours."""
    if rng.random() < 0.7:
        return ()
    return tuple(rng.sample(_OWN, rng.randint(1, 3))) + (_FALSE if rng.random() < 0.3 else ())
