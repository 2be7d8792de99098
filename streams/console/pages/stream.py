"""For who keeps it running: what flows, what lags, what stands still, partition by partition."""

from __future__ import annotations

from streams.console import charts
from streams.console.markup import Html, el, join
from streams.console.pages import parts
from streams.console.pages.parts import Ask, Cell
from streams.console.pipeline import STILL_S, Part, Pipeline, Worker
from streams.console.words import Words


def content(ask: Ask, seen: Pipeline | None) -> Html:
    """The page."""
    words = ask.words
    top = parts.head(words("stream.title"), words("stream.about"))
    if seen is None:
        nothing = el("p", {"class": "empty"}, words("frame.counting"))
        return join(top, el("section", {"id": "flow", "data-live": "pipeline", "class": "card"}, nothing))
    return join(top, _verdict(words, seen), _figures(words, seen), _parts(words, seen), _worker(words, seen))


def verdicts(words: Words, seen: Pipeline) -> list[tuple[str, str]]:
    """(css, sentence): what an on-call person must know first; one that all is well where it is."""
    found = []
    stuck = [str(part.partition) for part in seen.parts if part.stuck]
    behind = [str(part.partition) for part in seen.parts if late(part, seen) and not part.stuck]
    if stuck:
        found.append(("bad", words("stream.stuck", partitions=", ".join(stuck), seconds=f"{STILL_S:.0f}")))
    if seen.lag and seen.worker is None:
        found.append(("bad", words("stream.no_worker", lag=words.number(seen.lag))))
    if behind:
        found.append(("warn", words("stream.behind", partitions=", ".join(behind))))
    if seen.outbox and seen.worker is None:
        found.append(("warn", words("stream.outbox_waits", number=words.number(seen.outbox))))
    if not seen.parts:
        found.append(("warn", words("stream.never")))
    if not found and seen.lag + seen.outbox:
        found.append(("good", words("stream.reads", lag=words.number(seen.lag), outbox=words.number(seen.outbox))))
    return found or [("good", words("stream.well"))]


def late(part: Part, seen: Pipeline) -> bool:
    """Whether its stream time lies more than a minute behind the latest."""
    return seen.clock is not None and part.lag > 0 and (part.clock is None or seen.clock - part.clock > 60_000)


def _verdict(words: Words, seen: Pipeline) -> Html:
    told = [el("p", {"class": f"notice {css}"}, text) for css, text in verdicts(words, seen)]
    return el("div", {"id": "verdict", "data-live": "pipeline"}, told)


def _figures(words: Words, seen: Pipeline) -> Html:
    clocks = [part.clock for part in seen.parts if part.clock is not None]
    spread = max(clocks) - min(clocks) if clocks else 0
    worker = seen.worker
    latency = None if worker is None else worker.latency
    held = parts.tiles(
        parts.tile(
            words("stream.lag"),
            words.number(seen.lag),
            charts.spark(seen.lags, "s-risk", words("stream.lag_spark")),
            css="hot" if seen.lag else "",
        ),
        parts.tile(
            words("stream.rate"),
            words("stream.per_second", number=words.number(seen.rate)),
            charts.spark(seen.rates, "s-plain", words("stream.rate_spark")),
        ),
        parts.tile(
            words("stream.latency"),
            "–" if latency is None else words.span(1_000 * latency[0]),
            words("stream.no_latency")
            if latency is None
            else words("stream.latency_note", p95=words.span(1_000 * latency[1]), p99=words.span(1_000 * latency[2])),
        ),
        parts.tile(words("stream.outbox"), words.number(seen.outbox), words("stream.outbox_note")),
        parts.tile(
            words("stream.clock"),
            "–" if seen.clock is None else utc(seen.clock),
            words("stream.spread", span=words.span(spread)),
        ),
        parts.tile(
            words("stream.dead"),
            words.number(seen.dead),
            words("stream.dead_note"),
            css="hot" if seen.dead else "",
            href="/dead-letters",
        ),
    )
    return parts.section("flow", words("stream.flow"), held, live="pipeline")


def utc(ms: int) -> str:
    """An instant for who runs servers: UTC, to the second."""
    from processors.days import utc_iso

    return utc_iso(ms)[:19].replace("T", " ") + "Z"


def _parts(words: Words, seen: Pipeline) -> Html:
    topics = list(dict.fromkeys(topic for part in seen.parts for topic in part.lags))
    heads = (
        (words("stream.partition"), ""),
        (words("stream.state"), ""),
        (words("stream.clock"), ""),
        *((topic, "num") for topic in topics),
        (words("stream.outbox"), "num"),
        (words("stream.due"), "num"),
        (words("stream.moved"), "num"),
        (words("stream.epoch"), "num"),
    )
    rows = [
        [
            Cell(str(part.partition), "lead"),
            Cell(_state(words, part, seen)),
            Cell("–" if part.clock is None else utc(part.clock), "day"),
            *(Cell(words.number(part.lags[topic]), "num hot" if part.lags[topic] else "num") for topic in topics),
            Cell(words.number(part.outbox), "num"),
            Cell(words.span(part.late_ms), "num"),
            Cell(words.number(part.commits), "num"),
            Cell(str(part.epoch), "num muted"),
        ]
        for part in seen.parts
    ]
    return parts.section(
        "partitions",
        words("stream.partitions"),
        parts.table(words("stream.partitions"), heads, rows, words("stream.never")),
        about=words("stream.partitions_about"),
        live="pipeline",
    )


def _state(words: Words, part: Part, seen: Pipeline) -> Html:
    if part.stuck:
        return el("span", {"class": "badge l-at_risk"}, words("stream.is_stuck"))
    if part.lag:
        return el(
            "span",
            {"class": "badge l-watch"},
            words("stream.is_behind") if late(part, seen) else words("stream.is_reading"),
        )
    return el("span", {"class": "badge l-ok"}, words("stream.is_well"))


def _worker(words: Words, seen: Pipeline) -> Html:
    if seen.worker is None:
        inside = el("p", {"class": "empty"}, words("stream.worker_silent"))
    else:
        inside = _said(words, seen.worker)
    return parts.section("worker", words("stream.worker"), inside, live="pipeline")


def _said(words: Words, worker: Worker) -> Html:
    commit = worker.commit
    held = [
        el("div", None, el("dt", None, words("stream.address")), el("dd", None, worker.address)),
        el("div", None, el("dt", None, words("stream.owns")), el("dd", None, words.number(worker.partitions))),
        el(
            "div",
            None,
            el("dt", None, words("stream.commit")),
            el(
                "dd",
                None,
                "–"
                if commit is None
                else words("stream.commit_said", p50=words.span(1_000 * commit[0]), p99=words.span(1_000 * commit[2])),
            ),
        ),
        *(
            el("div", None, el("dt", None, el("code", None, name)), el("dd", None, words.number(number)))
            for name, number in sorted(worker.counts.items())
        ),
    ]
    return el("dl", {"class": "facts"}, held)
