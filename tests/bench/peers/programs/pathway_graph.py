"""Pathway with a snapshot each second: a stateful reducer by customer, one pipeline a minibatch."""

from __future__ import annotations

import json

import pathway as pw
from w1 import GROUP, KAFKA, STATE, TOPIC, Meter, Rows, decoder, folded, row

meter = Meter()
rows = Rows()
decode = decoder()
changed: dict[str, str] = {}
counted: dict[str, int] = {}
fresh = 0


def fact(value: bytes) -> tuple[str, int, int, int]:
    """One record."""
    meter.start()
    return decode(value)


def combine(state: str | None, added: list) -> str:
    """added: rows of (at, amount, sales) with how many of each, in no order."""
    now = None if state is None else json.loads(state)
    for (at, amount, sales), times in sorted(added):
        for _ in range(times):
            now = folded(now, at, amount, sales)
    return json.dumps(now)


def on_change(key, row, time, is_addition) -> None:  # the names are the library's
    """A customer's state of this minibatch."""
    global fresh  # noqa: PLW0603
    del key, time
    if is_addition:
        customer = row["customer"]
        changed[customer] = row["state"]
        fresh += row["events"] - counted.get(customer, 0)
        counted[customer] = row["events"]


def on_time_end(time) -> None:
    """The minibatch is whole."""
    global fresh  # noqa: PLW0603
    del time
    rows.write({customer: row(customer, json.loads(state)) for customer, state in changed.items()})
    changed.clear()
    meter.visible(fresh)
    fresh = 0


settings = {"bootstrap.servers": KAFKA, "group.id": GROUP, "auto.offset.reset": "earliest"}
raw = pw.io.kafka.read(settings, topic=TOPIC, format="raw", name="purchases", autocommit_duration_ms=100)
facts = raw.select(it=pw.apply_with_type(fact, tuple[str, int, int, int], pw.this.data))
facts = facts.select(customer=pw.this.it[0], at=pw.this.it[1], amount=pw.this.it[2], sales=pw.this.it[3])
states = facts.groupby(facts.customer).reduce(
    facts.customer,
    state=pw.reducers.stateful_many(combine)(facts.at, facts.amount, facts.sales),
    events=pw.reducers.count(),
)
pw.io.subscribe(states, on_change=on_change, on_time_end=on_time_end)
pw.run(
    monitoring_level=pw.MonitoringLevel.NONE,
    persistence_config=pw.persistence.Config(pw.persistence.Backend.filesystem(STATE), snapshot_interval_ms=1_000),
)
