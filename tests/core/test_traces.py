"""Traces of batches: off they are not even imported; on, one span a batch with its stages, links and `traceparent`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.partitioner import partition_of
from schemas.topics import PURCHASES, TICKS
from sinks.commit import Answer, Commit
from streams import tracing
from streams.settings import LoyaltyError, Settings
from streams.told_log import Telling
from tests.conftest import ROOT
from tests.core.test_partition import Driven, P, Record
from tests.core.test_runner import lived

ANNA = next(f"anna-{n}" for n in range(100) if partition_of(f"anna-{n}".encode(), 2) == P)
TILL = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_off_nothing_of_opentelemetry_is_imported_and_a_worker_needs_none_of_it() -> None:
    """By us: redis-py imports it for metrics of its own where it is installed, so here it is not."""
    words = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import streams.assembly, streams.worker, streams.cli.work\n"
        "from streams.settings import Settings\n"
        "from streams.tracing import traces\n"
        "assert traces(Settings.from_env({})) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.') or name == 'streams.spans'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_without_the_packages_the_worker_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "streams.spans", raising=False)
    with pytest.raises(
        LoyaltyError, match=r"LOYALTY_TRACES is otlp, and .* is not installed: .*requirements/otel\.txt"
    ):
        tracing.traces(Settings.from_env({"LOYALTY_TRACES": "otlp"}))


trace = pytest.importorskip("opentelemetry.sdk.trace", reason="needs requirements/otel.txt")


class Collected:
    """A worker's traces, collected in memory. sampled: whether any is."""

    def __init__(self, sampled: bool = True) -> None:
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

        from streams.spans import Spans

        self._exporter = InMemorySpanExporter()
        provider = trace.TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Spans(provider, "loyalty")

    def spans(self, name: str) -> list[Any]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]


def shop_of(sales: int, brings: str | None = TILL) -> Driven:
    shop = Driven()
    for n in range(sales):
        shop.buy(ANNA, 1_000 + n, amount=100_000)
    if brings is not None:
        for n, record in enumerate(shop.logs[PURCHASES]):
            own = brings.replace("b7ad6b7169203331", f"{n + 1:016x}")
            shop.logs[PURCHASES][n] = replace(record, headers=(("traceparent", own.encode()), ("x", b"\xff")))
    shop.tick(2_000)
    return shop


def outbox(shop: Driven) -> list[Any]:
    return [record for _, record, _ in shop.store.partitions[P].outbox]


def test_a_batch_is_one_span_with_its_stages_and_links_to_the_tills() -> None:
    collected = Collected()
    lived(shop_of(3), Telling(traces=collected.traces))
    batches = collected.spans("batch")
    linked = [link.context for span in batches for link in span.links]
    assert [f"{context.trace_id:032x}" for context in linked] == [TILL.split("-")[1]] * 3
    assert sorted(context.span_id for context in linked) == [1, 2, 3]
    for span in batches:
        children = [
            child for name in ("load", "fold", "commit") for child in collected.spans(name)
            if child.parent.span_id == span.context.span_id
        ]  # fmt: skip
        assert {child.name for child in children} == {"load", "fold", "commit"}
        times = [(child.start_time - span.start_time, child.end_time - span.start_time) for child in children]
        assert all(0 <= start <= end <= span.end_time - span.start_time for start, end in times), (span, times)
        assert span.attributes["messaging.destination.partition.id"] == str(P)
        assert span.attributes["loyalty.answer"] == "done"
    first = batches[0].attributes
    assert (first[f"loyalty.offset.first.{PURCHASES}"], first[f"loyalty.offset.next.{PURCHASES}"]) == (0, 3)
    assert ANNA not in json.dumps([dict(span.attributes) for span in batches]), "a trace takes no id either"


def test_outputs_carry_the_trace_of_their_batch_and_nothing_else_of_them_changes() -> None:
    collected = Collected()
    traced, plain = outbox(lived(shop_of(3), Telling(traces=collected.traces))), outbox(lived(shop_of(3)))
    assert [(record.topic, record.key, record.value) for record in traced] == [
        (record.topic, record.key, record.value) for record in plain
    ]
    context = {f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in collected.spans("batch")}
    for with_trace, without in zip(traced, plain, strict=True):
        more = with_trace.headers[len(without.headers) :]
        assert with_trace.headers[: len(without.headers)] == without.headers
        if with_trace.topic in ("tier-changes", "churn-risk"):
            ((name, held),) = more
            assert (name, held.decode()[:-3] in context) == ("traceparent", True)
        else:
            assert more == (), "told and the like are between us"
    assert "tier-changes" in {record.topic for record in traced}


def test_what_is_not_sampled_leaves_outputs_alone() -> None:
    collected = Collected(sampled=False)
    assert outbox(lived(shop_of(3), Telling(traces=collected.traces))) == outbox(lived(shop_of(3)))
    assert not collected.spans("batch")


def test_ticks_alone_make_no_span() -> None:
    shop = Driven()
    for at in range(1_000, 1_050):
        shop.tick(at)
    collected = Collected()
    lived(shop, Telling(traces=collected.traces))
    assert not collected.spans("batch")


@pytest.mark.parametrize("brings", ["", "00-zz-1-01", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "\u20ac" * 9])
def test_a_till_that_sends_nonsense_as_its_trace_costs_a_link_and_nothing_else(brings: str) -> None:
    collected = Collected()
    lived(shop_of(3, brings), Telling(traces=collected.traces))
    (span,) = [span for span in collected.spans("batch") if f"loyalty.offset.first.{PURCHASES}" in span.attributes]
    assert span.links == ()


def commit_of(seq: int, begin: int, end: int) -> Commit:
    return Commit(
        partition=P, epoch=1, seq=seq, positions_from={PURCHASES: begin, TICKS: 4},
        positions_to={PURCHASES: end, TICKS: 4}, clock=5, policy="p", shares={}, since=-1,
        writes=(), erased={}, outbox=(), counts={},
    )  # fmt: skip


def test_links_are_bounded_and_those_of_later_batches_wait() -> None:
    from streams import spans

    collected = Collected()
    of = collected.traces.of(P)
    of.received(PURCHASES, [
        Record(n, 5, None, b"", (("traceparent", TILL.replace("b7ad6b7169203331", f"{n + 1:016x}").encode()),))
        for n in range(100)
    ])  # fmt: skip
    for seq, (begin, end) in enumerate([(0, 70), (70, 80), (80, 100), (100, 101)]):
        assert of.carried(commit_of(seq, begin, end)).positions_to[PURCHASES] == end
        of.took("commit", 0.001)
        of.ended(Answer.FENCED if seq == 3 else Answer.DONE)
    assert [len(span.links) for span in collected.spans("batch")] == [spans.LINKS_MAX, 10, 20, 0]
    assert [span.status.is_ok for span in collected.spans("batch")] == [True, True, True, False]


def test_otlp_goes_where_the_standard_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[tuple[str, int]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, len(self.rfile.read(int(self.headers["content-length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        made = tracing.traces(Settings.from_env({"LOYALTY_TRACES": "otlp"}))
        assert made is not None
        lived(shop_of(2), Telling(traces=made))
        made.close()
        server.shutdown()
    assert [path for path, size in got if size > 100] == ["/v1/traces"]


def test_on_the_console_a_span_is_a_line_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    made = tracing.traces(Settings.from_env({"LOYALTY_TRACES": "console"}))
    assert made is not None
    lived(shop_of(2), Telling(traces=made))
    made.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert {line["name"] for line in lines} == {"batch", "load", "fold", "commit"}
    assert {line["resource"]["attributes"]["service.name"] for line in lines} == {"loyalty-worker"}
    assert re.fullmatch("0x[0-9a-f]{32}", lines[0]["context"]["trace_id"])
