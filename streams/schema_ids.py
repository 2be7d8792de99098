"""Schema ids of Confluent's framing, asked for before anything is decoded: the partition loop does no I/O.

`SchemaIds` serves a worker, which holds back a record set until its ids are known (`streams/ownership.py`). A registry
that is away is waited for; a good record is never given up for it. `asking` serves commands, which ask as they meet an
id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import Final

from schemas import codec, framing, topics
from schemas.registry import Registered
from sinks.schema_registry import NoSuchSchema, RegistryAway, RegistryRefuses, SchemaRegistry, UnknownId
from streams.settings import LoyaltyError, NotThere, Settings

log = logging.getLogger("loyalty.registry")

PAUSE_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

ASK_AGAIN_S: Final = 60.0
"""An unknown id may be known later: a registry of several servers, or one whose schema was put back."""

SETTLES_S: Final = 15.0
"""For so long a registry must have answered before it is believed that an id is unknown: one that keeps its schemas in
Kafka (seen with Apicurio 3.3) serves before it has read them, and knows none meanwhile."""

DEADLINE_S: Final = 15.0
"""For one answer, whatever the server does; the client's own timeout is a third of it."""

OUTPUTS: Final = tuple(topic.name for topic in topics.TOPICS.values() if topic.direction == "out" and topic.schema)
IMPORTED: Final = (topics.PURCHASES, topics.COMPLAINTS, topics.CONTACTS, topics.CUSTOMERS)


class SchemaIds:
    """What the registry told a worker. `waiting`: why it is being waited for; empty: it is not. settles_s: for how long
    it must have answered until an unknown id is one."""

    def __init__(self, registry: SchemaRegistry, settles_s: float = SETTLES_S) -> None:
        self._registry, self._settles_s = registry, settles_s
        self._answers_since: float | None = None  # the first answer since it was away, or since we began
        self._one_at_a_time = asyncio.Lock()
        self._refused: dict[int, float] = {}  # until when, oldest first
        self.registered = Registered(registry.place)
        self.waiting = ""

    def unknown(self, values: Iterable[bytes | None]) -> set[int]:
        """The ids to `learn` before these values are decoded."""
        while self._refused:
            schema_id, until = next(iter(self._refused.items()))
            if until > time.monotonic():
                break
            del self._refused[schema_id]
            self.registered.forget(schema_id)
        return self.registered.unknown(values)

    async def learn(self, ids: Iterable[int]) -> None:
        """Returns once the registry has answered for each; waits out its outages, so cancel it to leave."""
        for schema_id in sorted(ids):
            async with self._one_at_a_time:
                if self.registered.unknown([framing.confluent_head(schema_id)]):
                    try:
                        await self._learn(schema_id)
                    finally:
                        self.waiting = ""

    async def _learn(self, schema_id: int) -> None:
        attempt = 0
        while True:
            try:
                asked = asyncio.to_thread(_ask, self._registry, self.registered, schema_id)
                refused = await asyncio.wait_for(asked, DEADLINE_S)
                settled = self._settled()
                if settled or not isinstance(refused, UnknownId):
                    if refused is not None:
                        self.registered.refuse(schema_id, str(refused))
                        self._refused[schema_id] = time.monotonic() + ASK_AGAIN_S
                    return
                self.waiting = f"the schema registry {self._registry.place} has just come up, and knows no such id"
                log.info("asking again for schema id %d: %s", schema_id, self.waiting)
            except (RegistryAway, TimeoutError) as away:
                self._answers_since = None
                self.waiting = str(away) or f"the schema registry {self._registry.place} gives no answer"
                log.warning("waiting for schema id %d: %s", schema_id, self.waiting)
            await asyncio.sleep(PAUSE_S[min(attempt, len(PAUSE_S) - 1)])
            attempt += 1

    def _settled(self) -> bool:
        """It has answered now: whether it has done so for long enough."""
        now = time.monotonic()
        if self._answers_since is None:
            self._answers_since = now
        return now - self._answers_since >= self._settles_s


def _ask(registry: SchemaRegistry, registered: Registered, schema_id: int) -> NoSuchSchema | None:
    """Learn the schema of the id; why there is none. Raises RegistryAway."""
    try:
        registered.learn(schema_id, registry.schema(schema_id))
    except NoSuchSchema as none:
        return none
    return None


def client(settings: Settings) -> SchemaRegistry | None:
    """The registry of the settings; None: there is none."""
    if not settings.schema_registry_url:
        return None
    return SchemaRegistry(
        settings.schema_registry_url, settings.schema_registry_user, settings.schema_registry_password
    )


def asking(settings: Settings) -> Registered | None:
    """For a command: asks when it meets an id. Then LoyaltyError is raised where the registry is away."""
    registry = client(settings)
    if registry is None:
        return None
    registered = Registered(registry.place)

    def ask(schema_id: int) -> None:
        try:
            none = _ask(registry, registered, schema_id)
        except RegistryAway as away:
            raise LoyaltyError(f"{away}; a record names its schema id {schema_id}") from away
        if none is not None:
            registered.refuse(schema_id, str(none))

    registered.ask = ask
    return registered


def decode_of(settings: Settings) -> codec.Decode:
    """`codec.decode` under the settings, for a command."""
    registered = asking(settings)
    return codec.decode if registered is None else codec.decoding(registered)


def heads(settings: Settings, names: Iterable[str]) -> framing.Heads:
    """How these topics are framed as they leave: their schemas are registered where a registry is configured.

    Raises NotThere where it doesn't take them, LoyaltyError where it is away.
    """
    registry = client(settings)
    if registry is None:
        return {}
    try:
        return registry.heads(names)
    except RegistryRefuses as refused:
        raise NotThere(str(refused)) from refused
    except RegistryAway as away:
        raise LoyaltyError(str(away)) from away


async def heads_soon(settings: Settings, names: Iterable[str]) -> framing.Heads:
    """`heads` from a running loop."""
    return await asyncio.to_thread(partial(heads, settings, tuple(names)))
