"""One part of `bench.path` in a process of its own, so that none inherits another's memory.

    python -m bench.path_part PART JSON

Prints what was measured as one line of JSON.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench import path_kafka, path_local
from bench.path_workload import STEPS
from cli import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.path_measured import Measured


@dataclass(frozen=True)
class Around:
    """What a part needs to know of its surroundings."""

    servers: str
    topic: str
    decisions_topic: str
    n_streams: int
    folder: str
    """The part's own, empty; its name is unique."""
    database: str
    """URL of a PostgreSQL database of its own; empty for parts that need none."""
    registry: str
    """Folder of the bundled detectors, trained."""

    @property
    def n_records(self) -> int:
        """Records of all streams."""
        return self.n_streams * STEPS


PARTS: dict[str, Callable[[Around], Measured]] = {
    "bare": path_kafka.bare,
    "engine_sum_500": lambda around: path_local.engine(around, "sum", 500),
    "engine_sum_5000": lambda around: path_local.engine(around, "sum", 5000),
    "engine_lstm_500": lambda around: path_local.engine(around, "lstm", 500),
    "engine_lstm_5000": lambda around: path_local.engine(around, "lstm", 5000),
    "engine_scam_500": lambda around: path_local.recorded_engine(around, "scam", 500),
    "engine_scam_5000": lambda around: path_local.recorded_engine(around, "scam", 5000),
    "engine_sepsis_500": lambda around: path_local.recorded_engine(around, "sepsis", 500),
    "engine_sepsis_5000": lambda around: path_local.recorded_engine(around, "sepsis", 5000),
    "engine_pendigits_5000": lambda around: path_local.recorded_engine(around, "pendigits", 5000),
    "ledger_sqlite": lambda around: path_local.ledger(around, path_local.new_sqlite(around)),
    "ledger_postgres": lambda around: path_local.ledger(around, around.database),
    "embedded": path_local.embedded,
    "faust_empty": path_kafka.empty_agent,
    "faust_whole": path_kafka.whole,
}


def main(arguments: list[str]) -> None:
    """Run one part."""
    part, around = arguments
    logs.configure("warning")
    for chatty in ("kafka", "aiokafka", "faust", "mode"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    print(json.dumps(asdict(PARTS[part](Around(**json.loads(around))))))


if __name__ == "__main__":
    main(sys.argv[1:])
