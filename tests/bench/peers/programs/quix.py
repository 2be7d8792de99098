"""Quix Streams with exactly-once processing: states in RocksDB with a changelog, hashes at each checkpoint."""

from __future__ import annotations

from quixstreams import Application
from quixstreams.models import Deserializer
from quixstreams.sinks import BatchingSink
from w1 import GROUP, KAFKA, STATE, TOPIC, Fact, Meter, Rows, decoder, folded, row
from w1 import State as CustomerState

meter = Meter()
rows = Rows()


class Facts(Deserializer):
    """Decodes as all the others do."""

    split_values = False
    _decode = staticmethod(decoder())

    def __call__(self, value, ctx):
        del ctx
        meter.start()
        return self._decode(value)


class ToRedis(BatchingSink):
    """The last state of each customer of a checkpoint."""

    def write(self, batch) -> None:
        last = dict(item.value for item in batch)
        rows.write({customer: row(customer, state) for customer, state in last.items()})
        meter.visible(batch.size)


def fold(fact: Fact, state) -> tuple[str, CustomerState]:
    """One purchase."""
    customer, at, amount, sales = fact
    now = folded(state.get("w1"), at, amount, sales)
    state.set("w1", now)
    return customer, now


app = Application(
    broker_address=KAFKA,
    consumer_group=GROUP,
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_every=20_000,
    commit_interval=1.0,
    state_dir=STATE,
    loglevel="WARNING",
)
purchases = app.topic(TOPIC, value_deserializer=Facts(), key_deserializer="str")
app.dataframe(purchases).apply(fold, stateful=True).sink(ToRedis())

if __name__ == "__main__":
    app.run()
