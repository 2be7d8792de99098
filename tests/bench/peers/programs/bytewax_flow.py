"""Bytewax with recovery: python -m bytewax.run bytewax_flow:flow -r FOLDER -s 1 -b 0, a snapshot each second."""

from __future__ import annotations

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from w1 import KAFKA, TOPIC, Meter, Rows, decoder, folded, row

meter = Meter()
decode = decoder()


class Part(StatelessSinkPartition):
    """One pipeline a batch."""

    def __init__(self) -> None:
        self._rows = Rows()

    def write_batch(self, items) -> None:
        self._rows.write(dict(items))
        meter.visible(len(items))


class ToRedis(DynamicSink):
    """Hashes of customers."""

    def build(self, step_id, worker_index, worker_count) -> Part:
        del step_id, worker_index, worker_count
        return Part()


def facts(messages):
    """A whole batch in one call: cheaper than a step for each message."""
    meter.start()
    made = []
    for message in messages:
        customer, *fact = decode(message.value)
        made.append((customer, (customer, *fact)))
    return made


def fold(state, fact):
    """One purchase: the state, and the hash as it then is."""
    customer, at, amount, sales = fact
    state = folded(state, at, amount, sales)
    return state, row(customer, state)


flow = Dataflow("w1")
source = op.input("purchases", flow, KafkaSource(brokers=[KAFKA], topics=[TOPIC], batch_size=1_000))
op.output("hashes", op.stateful_map("fold", op.flat_map_batch("decode", source, facts), fold), ToRedis())
