"""What a schema registry has told: the schema behind each id of Confluent's framing, learned once and kept for good.

An id never changes its meaning. Nobody here asks a registry: a worker learns the ids of a record set before its loop
sees the records (`streams/schema_ids.py`), the command line when it meets one (`ask`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from schemas import library
from schemas.compatibility import obstacles
from schemas.errors import UnknownSchema

CONFLUENT_BYTE: Final = 0
CONFLUENT_HEADER_BYTES: Final = 5

_OBSTACLES_TOLD: Final = 3


class Refused(NamedTuple):
    """Why an id is of no use, as it follows "schema id 7 of the registry"."""

    why: str


class Registered:
    """place: the registry as messages name it, without a password. ask: called with an id that is not known, it learns
    or refuses it; without it, meeting such an id is our own fault."""

    def __init__(self, place: str, ask: Callable[[int], None] | None = None) -> None:
        self.place, self.ask = place, ask
        self._told: dict[int, library.Schema | Refused] = {}
        self._fitting: dict[tuple[str, int], library.Schema | Refused] = {}

    def unknown(self, values: Iterable[bytes | None]) -> set[int]:
        """The ids that these values name and nobody has asked for yet."""
        heads = {value[:CONFLUENT_HEADER_BYTES] for value in values if value}
        named = {id_of(head) for head in heads if head[0] == CONFLUENT_BYTE and len(head) == CONFLUENT_HEADER_BYTES}
        return named - self._told.keys()

    def learn(self, schema_id: int, text: str) -> None:
        """The registry says that the id is that of the Avro schema `text`."""
        try:
            self._told[schema_id] = library.foreign(json.loads(text))
        except (Exception, RecursionError) as error:  # whatever a parser says of what anybody may have registered
            self.refuse(schema_id, f"is no Avro schema ({type(error).__name__}: {error})")

    def refuse(self, schema_id: int, why: str) -> None:
        """The id is of no use: see `Refused`."""
        self._told[schema_id] = Refused(why)

    def forget(self, schema_id: int) -> None:
        """It may be asked for again."""
        self._told.pop(schema_id, None)

    def schema(self, topic: str, schema_id: int) -> library.Schema:
        """The schema under which a record of `topic` was written. Raises UnknownSchema where it can't be read here."""
        if schema_id not in self._told:
            assert self.ask is not None, f"schema id {schema_id} was not asked for before its record was decoded"
            self.ask(schema_id)
        told = self._told[schema_id]
        if not isinstance(told, Refused):
            told = self._fitting.get((topic, schema_id)) or self._fits(topic, schema_id, told)
        if isinstance(told, Refused):
            raise UnknownSchema(f"schema id {schema_id} of the registry {self.place} {told.why}")
        return told

    def _fits(self, topic: str, schema_id: int, written: library.Schema) -> library.Schema | Refused:
        try:
            why = _misfit(topic, written)
        except RecursionError:
            why = "is nested too deep"
        fits = self._fitting[topic, schema_id] = Refused(why) if why else written
        return fits


def id_of(head: bytes) -> int:
    """The id in the first five bytes of a Confluent-framed record."""
    return int.from_bytes(head[1:CONFLUENT_HEADER_BYTES], "big")


def _misfit(topic: str, written: library.Schema) -> str:
    """Why records under `written` can't be read as those of `topic`; empty: they can."""
    newest = library.newest(topic)
    if not isinstance(written, dict) or written["type"] != "record":
        return f"is no record: {topic} takes {newest['name']} of schemas/{topic}.avsc"
    if (name := written["name"].rpartition(".")[2]) != newest["name"].rpartition(".")[2]:
        return f"is {name}: {topic} takes {newest['name']}; send the record to the topic it is for"
    found = obstacles(newest, written)
    if not found:
        return ""
    more = f" and {len(found) - _OBSTACLES_TOLD} more" if len(found) > _OBSTACLES_TOLD else ""
    told = "; ".join(found[:_OBSTACLES_TOLD])
    return f"cannot be resolved to schemas/{topic}.avsc: {told}{more}; register one that can be, and send it again"
