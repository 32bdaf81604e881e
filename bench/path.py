"""Measure the whole path, from a record to a stored decision, against a bare Kafka consumer.

    python -m bench.path [--repeat 3] [--json F.json] [--streams 10000] [--only PART ...]

Starts a Kafka node of its own (TOCSIN_TEST_KAFKA names the script) and makes databases of its own
(TOCSIN_TEST_POSTGRES names the server). 10 000 streams of 20 records each, interleaved at random
over 8 partitions; one stream decides with its last record. Every part runs in a process of its
own, and the repeats are interleaved, so that each ratio compares what ran close together. Exits
with 1 if a bar is missed.

The parts:

* bare: confluent-kafka's ``consume(500)`` and our decoder.
* engine: decoded records to decisions in memory; no broker, no ledger. Batches of 500 records, as
  deliveries come, and of 5000 of one partition, as a backlog is drained. A trivial classifier,
  and an LSTM with 32 hidden units and 10 classes; and the three bundled detectors, trained for
  this, on their recorded streams under new names, at least as many records as the others get.
* ledger: `Worker.drain` over records in memory, trivial classifier, committed to SQLite (a file,
  WAL, synchronous=FULL) and to PostgreSQL.
* embedded: the embedded driver with the writer thread, from an appended log to commits.
* faust_empty: an agent that only acknowledges, under the driver's own Faust settings.
* faust_whole: the Faust driver draining the backlog into PostgreSQL, from the first commit to the
  last one, decisions published meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench import path_recorded, path_services
from bench.path_measured import Measured, as_json, machine, ratio, table
from bench.path_part import PARTS, Around

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TITLES = {
    "bare": "bare consumer",
    "engine_sum_500": "engine, trivial, batches of 500",
    "engine_sum_5000": "engine, trivial, 5000",
    "engine_lstm_500": "engine, LSTM, 500",
    "engine_lstm_5000": "engine, LSTM, 5000",
    "engine_scam_500": "engine, SS3 on conversations, 500",
    "engine_scam_5000": "engine, SS3 on conversations, 5000",
    "engine_sepsis_500": "engine, trees on vital signs, 500",
    "engine_sepsis_5000": "engine, trees on vital signs, 5000",
    "engine_pendigits_5000": "engine, LSTM on pen strokes, 5000",
    "ledger_sqlite": "engine + ledger, SQLite",
    "ledger_postgres": "engine + ledger, PostgreSQL",
    "embedded": "embedded",
    "faust_empty": "empty Faust agent",
    "faust_whole": "Faust whole, PostgreSQL",
}
ON_POSTGRES = {"ledger_postgres", "faust_whole"}
BARS = {
    ("engine_lstm_5000", "bare"): 0.1,
    ("engine_scam_5000", "bare"): 0.125,
    ("engine_sepsis_5000", "bare"): 0.125,
    ("faust_whole", "faust_empty"): 2.5,
}
"""Least ratio of one part's rate to another's."""


def run(parts: Sequence[str], repeat: int, n_streams: int) -> dict[str, list[Measured]]:
    """Run all parts, one after the other, so many times."""
    runs: dict[str, list[Measured]] = {part: [] for part in parts}
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench-path-")))
        servers = running.enter_context(path_services.broker(folder))
        topic = path_services.new_topic(servers, "records")
        decisions_topic = path_services.new_topic(servers, "decisions")
        path_services.fill(servers, topic, n_streams)
        registry = folder / "registry"
        path_recorded.train(registry)
        for turn in range(repeat):
            for part in parts:
                own = folder / f"{part}-{turn}"
                own.mkdir()
                around = Around(
                    servers, topic, decisions_topic, n_streams, str(own), "", str(registry)
                )
                runs[part].append(_run_part(part, around))
                print(f"{part}: {runs[part][-1].rate:,.0f} records/s", file=sys.stderr)
    return runs


def _run_part(part: str, around: Around) -> Measured:
    made = path_services.database() if part in ON_POSTGRES else nullcontext("")
    with made as database:
        given = json.dumps(asdict(around) | {"database": database})
        done = subprocess.run(
            [sys.executable, "-m", "bench.path_part", part, given],
            stdout=subprocess.PIPE, check=True, timeout=600,
        )  # fmt: skip
    return Measured(**json.loads(done.stdout))


def bars(runs: Mapping[str, Sequence[Measured]]) -> dict[str, bool]:
    """Return which bars are kept, of those whose parts were run."""
    return {
        f"{part} >= {least} x {base}: {ratio(runs, part, base):.3f}": ratio(runs, part, base)
        >= least
        for (part, base), least in BARS.items()
        if part in runs and base in runs
    }


def main(arguments: list[str]) -> int:
    """Measure, print, and say whether the bars are kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    where = machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    runs = run(chosen.only, chosen.repeat, chosen.streams)
    print(table(runs, TITLES, "bare"))
    kept = bars(runs)
    for bar, holds in kept.items():
        print(f"{'kept' if holds else 'MISSED'}: {bar}")
    if chosen.json is not None:
        found = {"machine": where, "runs": as_json(runs), "bars": kept}
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except path_services.MissingServiceError as error:
        sys.exit(str(error))
