"""Spans of batches, by OpenTelemetry's API; the SDK is asked for in `provider` alone.

One span `batch` from the first load to the answer of Redis, never one a record: a span costs as much as a record does.
Its children `load`, `fold` and `commit` are made afterwards from times that are taken anyway. It links to producers'
spans (`traceparent` of their records, LINKS_MAX a batch), and the outputs that it puts into the outbox carry its own
`traceparent`. `customer-value` carries none: a view goes out as it stands, after many batches.
A batch of nothing but ticks that tells nothing has no span.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from schemas.topics import CARE_REMINDERS, CHURN_RISK, EMPLOYEE_GRADES, TICKS, TIER_CHANGES
from sinks.commit import Answer, Commit, Record
from streams import __version__
from streams.time_order import KafkaRecord

LINKS_MAX: Final = 32
WAITING_MAX: Final = 10_000
"""Headers kept of records not committed yet; of a longer queue the newest go without a link."""

OUTPUTS: Final = frozenset((CHURN_RISK, CARE_REMINDERS, TIER_CHANGES, EMPLOYEE_GRADES))
HEADERS: Final = ("traceparent", "tracestate")
_W3C: Final = TraceContextTextMapPropagator()


def provider(where: str) -> Any:
    """Where spans go: `otlp`, as the variables OTEL_* say, or `console`, a line of JSON each on stderr."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider as Provider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

    exporter: SpanExporter
    if where == "console":
        exporter = ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n")
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    told = Resource.create({SERVICE_VERSION: __version__})
    if str(told.attributes[SERVICE_NAME]).startswith("unknown_service"):  # OTEL_SERVICE_NAME did not name it
        told = told.merge(Resource({SERVICE_NAME: "loyalty-worker"}))
    made = Provider(resource=told)
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


class Spans:
    """Traces of one worker. group: of its consumers."""

    def __init__(self, made: TracerProvider, group: str) -> None:
        self._provider, self._group = made, group
        self._tracer = made.get_tracer("loyalty", __version__)

    def of(self, partition: int) -> BatchSpans:
        """Of one partition."""
        return BatchSpans(self._tracer, partition, self._group)

    def close(self) -> None:
        """Send what was not sent yet."""
        shutdown = getattr(self._provider, "shutdown", None)
        if shutdown is not None:
            shutdown()


class BatchSpans:
    """As `BatchTrace` asks."""

    def __init__(self, tracer: Tracer, partition: int, group: str) -> None:
        self._tracer = tracer
        self._fixed = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.partition.id": str(partition),
            "messaging.consumer.group.name": group,
        }
        self._waiting: dict[str, deque[tuple[int, Mapping[str, str]]]] = {}
        self._stages: list[tuple[str, int, int]] = []
        self._span: Any = None

    def received(self, topic: str, records: Sequence[KafkaRecord]) -> None:
        """Keep the trace context of those that bring one."""
        waiting = self._waiting.setdefault(topic, deque())
        for record in records:
            if record.headers and len(waiting) < WAITING_MAX:
                brought = {name: held.decode("latin-1") for name, held in record.headers if name in HEADERS and held}
                if "traceparent" in brought:
                    waiting.append((record.offset, brought))

    def took(self, stage: str, seconds: float) -> None:
        """Until the batch's span is made, kept for it."""
        end = time.time_ns()
        stage_of = (stage, end - int(seconds * 1e9), end)
        if self._span is None:
            self._stages.append(stage_of)
        else:
            self._child(*stage_of)

    def carried(self, commit: Commit) -> Commit:
        """Make the span, as all is known that it links to."""
        stages, self._stages = self._stages, []
        moved = {topic: at for topic, at in commit.positions_to.items() if commit.positions_from.get(topic, 0) != at}
        links = self._links(moved)
        if not commit.outbox and not moved.keys() - {TICKS}:
            return commit
        attributes: dict[str, Any] = self._fixed | {
            "messaging.batch.message_count": commit.records,
            "loyalty.commit": commit.seq,
            "loyalty.customers": len(commit.writes),
            "loyalty.outputs": len(commit.outbox),
        }
        for topic in moved:
            attributes[f"loyalty.offset.first.{topic}"] = commit.positions_from.get(topic, 0)
            attributes[f"loyalty.offset.next.{topic}"] = commit.positions_to[topic]
        self._span = self._tracer.start_span(
            "batch",
            kind=SpanKind.CONSUMER,
            links=links,
            attributes=attributes,
            start_time=min((start for _, start, _ in stages), default=None),
        )
        for stage in stages:
            self._child(*stage)
        context = self._span.get_span_context()
        if not context.is_valid or not context.trace_flags.sampled:
            return commit
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(self._span))
        head = tuple((name, held.encode()) for name, held in carrier.items())
        return replace(commit, outbox=tuple(_carrying(commit.outbox, head)))

    def ended(self, answer: Answer) -> None:
        """The span ends with what Redis said."""
        span, self._span = self._span, None
        if span is None:
            return
        span.set_attribute("loyalty.answer", answer.value)
        if answer is Answer.FENCED:
            span.set_status(Status(StatusCode.ERROR, "another owner has the partition"))
        span.end()

    def _child(self, stage: str, start_ns: int, end_ns: int) -> None:
        child = self._tracer.start_span(stage, trace.set_span_in_context(self._span), start_time=start_ns)
        child.end(end_ns)

    def _links(self, moved: Mapping[str, int]) -> list[Link]:
        """To the producers of what this batch takes; what lies before is forgotten."""
        links: dict[str, Link] = {}
        for topic, until in moved.items():
            waiting = self._waiting.get(topic, ())
            while waiting and waiting[0][0] < until:
                _, brought = waiting.popleft()
                if len(links) < LINKS_MAX and brought["traceparent"] not in links:
                    context = trace.get_current_span(_W3C.extract(brought)).get_span_context()
                    if context.is_valid:
                        links[brought["traceparent"]] = Link(context)
        return list(links.values())


def _carrying(outbox: Iterable[Record], head: tuple[tuple[str, bytes], ...]) -> Iterable[Record]:
    for record in outbox:
        yield replace(record, headers=record.headers + head) if record.topic in OUTPUTS else record
