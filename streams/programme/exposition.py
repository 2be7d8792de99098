"""The programme's figures as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.programme.figure import Figure


def families(figures: Iterable[Figure]) -> Iterator[Metric]:
    """A family for each name, once, wherever its figures stand in the table; one without a value is left out."""
    by_name: dict[str, list[Figure]] = {}
    for one in figures:
        by_name.setdefault(one.name, []).append(one)
    for name, held in by_name.items():
        first = held[0]
        labels = list(first.labels)
        made: GaugeMetricFamily | CounterMetricFamily
        if first.kind == "counter":
            made = CounterMetricFamily(name.removesuffix("_total"), first.help, labels=labels)
        else:
            made = GaugeMetricFamily(name, first.help, labels=labels)
        for one in held:
            if one.value is not None:
                made.add_metric([one.labels[label] for label in labels], one.value)
        yield made


class Table(Collector):
    """The registry's collector of the figures that were put into it last."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """What /metrics shows."""
        return families(self.figures)
