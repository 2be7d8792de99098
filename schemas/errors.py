"""What can be wrong with a record. The class name is `dlq.error`, the text `dlq.message`; the stream goes on.

These are the sender's mistakes: the record becomes a dead letter. Ours are assertions, and stop the partition.
"""

from __future__ import annotations


class BadRecord(Exception):
    """A record that cannot become an event (D6). `error`: the class as dead letters and metrics name it."""

    @property
    def error(self) -> str:
        """`BrokenAvro`, `UnknownSchema`, `ConfluentFramed`, `Oversize`, `BadKey` or `BadField`."""
        return type(self).__name__


class BrokenAvro(BadRecord):
    """The bytes do not follow the schema that they name."""


class UnknownSchema(BadRecord):
    """No released schema of the topic has this fingerprint; the registry has none for the id, or one that the topic
    can't take; or there is no framing at all."""


class ConfluentFramed(BadRecord):
    """A schema id that only a registry can tell, and none is configured."""


class Oversize(BadRecord):
    """More bytes than a record may have."""


class BadKey(BadRecord):
    """The record's key is not the customer's id."""


class BadField(BadRecord):
    """A field holds what the contract forbids. `path` names it, as in `lines[2].net_amount`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path
