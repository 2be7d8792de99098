"""Traces of batches, where LOYALTY_TRACES asks for them. Off, nothing of OpenTelemetry is imported, and the runner asks
one question a batch (`is None`).

What a span holds, and what `traceparent` does in headers, is in `streams/spans.py`, the one file that imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sinks.commit import Answer, Commit
from streams.settings import LoyaltyError, Settings
from streams.time_order import KafkaRecord


class BatchTrace(Protocol):
    """Of one partition: what its runner tells, in the order of its doing."""

    def received(self, topic: str, records: Sequence[KafkaRecord]) -> None:
        """Records were handed over; their `traceparent` headers become links of the batch that takes them."""

    def took(self, stage: str, seconds: float) -> None:
        """A stage has just ended, after so long."""

    def carried(self, commit: Commit) -> Commit:
        """The batch is about to be committed: the same commit, its outputs with the `traceparent` of the batch."""

    def ended(self, answer: Answer) -> None:
        """What Redis said."""


class Traces(Protocol):
    """Of one worker."""

    def of(self, partition: int) -> BatchTrace: ...
    def close(self) -> None:
        """Send what was not sent yet."""


def traces(settings: Settings) -> Traces | None:
    """As LOYALTY_TRACES asks; None: off. Raises LoyaltyError where the packages are missing."""
    if settings.traces == "off":
        return None
    try:
        from streams import spans

        return spans.Spans(spans.provider(settings.traces), settings.group)
    except ImportError as error:
        raise LoyaltyError(
            f"LOYALTY_TRACES is {settings.traces}, and {error.name or 'a package'} is not installed: "
            f"pip install --require-hashes -r requirements/otel.txt"
        ) from error
