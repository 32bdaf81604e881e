"""What `bench.path` measures of one part, and the table of all parts."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIBRARIES = ("numpy", "msgspec", "confluent-kafka", "faust-streaming", "psycopg", "sqlalchemy")


@dataclass(frozen=True)
class Measured:
    """One run of one part."""

    records: int
    seconds: float
    cpu_s: float
    """Processor time of the part's own process, all its threads; no broker, no database."""
    more: dict[str, float] = field(default_factory=dict)
    """What else is worth a word, by name."""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time per record, in microseconds."""
        return self.cpu_s / self.records * 1e6


class Stopwatch:
    """Measures from the first mark to the last one, in records, seconds and processor time."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, float, float]] = []

    def mark(self, records: int) -> None:
        """Note that so many records are done with by now."""
        self._marks.append((records, time.perf_counter(), time.process_time()))
        del self._marks[1:-1]

    def measured(self, **more: float) -> Measured:
        """Return what lay between the first mark and the last."""
        (first, began, cpu), (last, ended, cpu_ended) = self._marks
        return Measured(last - first, ended - began, cpu_ended - cpu, more)


def machine() -> dict[str, Any]:
    """Return where and when this was measured."""
    return {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        **{name: version(name) for name in LIBRARIES},
    }


def ratio(runs: Mapping[str, Sequence[Measured]], part: str, base: str) -> float:
    """Return how a part's rate compares with another's: the median of the repeats' ratios."""
    pairs = zip(runs[part], runs[base], strict=True)
    return statistics.median(mine.rate / theirs.rate for mine, theirs in pairs)


def table(runs: Mapping[str, Sequence[Measured]], titles: Mapping[str, str], base: str) -> str:
    """Return a Markdown table, a line a part."""
    lines = [
        "| part | records/s | least..most | of bare | CPU µs/record | besides |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for part, measured in runs.items():
        rates = [one.rate for one in measured]
        besides = {
            name: statistics.median(one.more[name] for one in measured)
            for name in measured[0].more
        }
        against = f"{ratio(runs, part, base):.3f}" if base in runs else ""
        cells = [
            titles[part],
            f"{statistics.median(rates):,.0f}",
            f"{min(rates):,.0f}..{max(rates):,.0f}",
            against,
            f"{statistics.median(one.cpu_us for one in measured):.1f}",
            ", ".join(f"{name} {value:,.4g}" for name, value in besides.items()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json(runs: Mapping[str, Sequence[Measured]]) -> dict[str, Any]:
    """Return all runs as JSON values."""
    return {
        part: [{**asdict(one), "rate": one.rate, "cpu_us": one.cpu_us} for one in measured]
        for part, measured in runs.items()
    }
