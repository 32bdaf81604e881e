"""What a worker shows to Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from streams.worker import Worker

COUNTS = {
    "records": "Records committed.",
    "steps": "Steps scored.",
    "decisions": "Decisions made.",
    "dead_letters": "Records that could not be used.",
    "commits": "Ledger transactions.",
    "repeats": "Records skipped because their event id had been seen.",
    "skipped": "Deliveries below the next offset.",
    "filled": "Records fetched directly.",
    "ticks": "Ticks that streams were looked at for.",
    "forgotten": "States deleted because their time was up.",
    "fenced": "Batches refused because another worker had claimed the partition.",
}


class WorkerMetrics(Collector):
    """Counts of a worker since its start, and the offset it has come to in each partition."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; reads plain numbers, so it needs no turn in the worker's lane."""
        for name, meaning in COUNTS.items():
            value = getattr(self._worker.counts, name)
            yield CounterMetricFamily(f"tocsin_worker_{name}", meaning, value=value)
        name, meaning = "tocsin_ledger_next_offset", "Offset of the next record to commit."
        reached = GaugeMetricFamily(name, meaning, labels=["partition"])
        for partition, held in list(self._worker.owned.items()):
            reached.add_metric([str(partition)], held.next_offset)
        yield reached
