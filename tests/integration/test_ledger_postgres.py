"""Faults that only a real server can show: lost connections, processes stopped and woken."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import text

from store.errors import StoreUnavailableError
from store.ledger import SqlLedger
from store.rows import Claim, PartitionCommit, StateKey, StateRow
from store.session import connect
from store.workers import beat, register

pytestmark = pytest.mark.postgres

COMMIT_FOR_EVER = """
import sys
from store.ledger import SqlLedger
from store.rows import PartitionCommit, StateRow
from store.session import connect
ledger = SqlLedger(connect(sys.argv[1]), "g", "events", "id-1", 1)
epoch, offset, _ = ledger.claim([0])[0]
while True:
    offset += 1
    rows = tuple(StateRow("d", f"s{i}", "1", "e", "open", offset, b"x" * 300) for i in range(500))
    if not ledger.commit([PartitionCommit(0, epoch, offset, rows)]):
        print("fenced", offset, flush=True)
        break
    print("stored", offset, flush=True)
"""

WAITING = text("""
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%unnest%'
""")


def batch(epoch, next_offset, data=b"1"):
    row = StateRow("d", "s", "1", "e", "open", next_offset, data)
    return PartitionCommit(0, epoch, next_offset, (row,))


@pytest.fixture
def ledger(postgres_engine):
    ledger = SqlLedger(postgres_engine, "g", "events", "id-1", 1).open()
    ledger.claim([0])
    return ledger


def until(answers, what):
    """Ask until there is an answer, for ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if answer := answers():
            return answer
        time.sleep(0.01)
    raise AssertionError(what)


def test_a_commit_whose_connection_dies_is_stored_not_at_all_and_may_be_repeated(
    ledger, postgres_url
):
    intruder, outcome = connect(postgres_url), []

    def commit():
        try:
            outcome.append(ledger.commit([batch(1, 5)]))
        except StoreUnavailableError as error:
            outcome.append(error)

    committing = threading.Thread(target=commit)
    with intruder.connect() as holder, intruder.connect() as killer:
        holder.execute(text("SELECT * FROM partitions FOR UPDATE"))
        committing.start()
        waiting = until(
            lambda: killer.execute(WAITING).scalars().all() or killer.rollback(),
            "the commit waits for the row",
        )
        killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": waiting[0]})
        committing.join(timeout=20)
    intruder.dispose()
    assert isinstance(outcome[0], StoreUnavailableError)
    assert "Check that it runs" in str(outcome[0])
    assert ledger.positions() == {0: Claim(1, 0)}
    assert ledger.load(0, [StateKey("d", "s")]) == {}
    assert ledger.commit([batch(1, 5)]) == {0}


def test_connections_that_died_while_idle_are_replaced_unnoticed(ledger, postgres_url):
    ledger.commit([batch(1, 1)])
    intruder = connect(postgres_url)
    with intruder.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    intruder.dispose()
    assert ledger.commit([batch(1, 2)]) == {0}
    assert ledger.positions() == {0: Claim(1, 2)}


def test_every_call_says_that_the_database_is_gone(ledger, postgres_engine):
    register(postgres_engine, "w", "g", "f", 30)
    postgres_engine.dispose()
    gone = connect_to_nowhere(postgres_engine)
    lost = SqlLedger(gone, "g", "events", "id-1", 1)
    for call in (
        lost.open,
        lost.positions,
        lambda: lost.claim([0]),
        lambda: lost.load(0, [StateKey("d", "s")]),
        lambda: lost.commit([batch(1, 1)]),
        lambda: beat(gone, "w"),
        lambda: register(gone, "w", "g", "f", 30),
    ):
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            call()


def connect_to_nowhere(engine):
    """Return an engine like `engine` whose server has gone since."""
    from sqlalchemy import create_engine  # not `connect`, which asks the server first

    return create_engine(engine.url.set(host="127.0.0.1", port=1))


def test_a_stopped_worker_holds_no_lock_and_writes_nothing_once_woken(
    ledger, postgres_url, postgres_engine
):
    for round_ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", COMMIT_FOR_EVER, postgres_url],
            stdout=subprocess.PIPE,
            text=True,
        ) as zombie:
            for _ in range(3 + 4 * round_):
                assert zombie.stdout.readline().startswith("stored")
            zombie.send_signal(signal.SIGSTOP)
            try:
                started = time.monotonic()
                epoch, next_offset, _ = ledger.claim([0])[0]
                assert ledger.commit([batch(epoch, next_offset + 1, b"owner's")]) == {0}
                assert time.monotonic() - started < 5, "the stopped process held a lock"
                before = everything(postgres_engine)
            finally:
                zombie.send_signal(signal.SIGCONT)
            lines = zombie.stdout.read().splitlines()
        stored = [int(line.split()[1]) for line in lines if line.startswith("stored")]
        assert lines[-1].startswith("fenced")
        assert all(offset <= next_offset for offset in stored), "stored before the claim"
        assert everything(postgres_engine) == before
        assert ledger.load(0, [StateKey("d", "s")])[StateKey("d", "s")].data == b"owner's"


def everything(engine):
    """What the ledger holds, down to the row versions."""
    with engine.connect() as connection:
        return (
            connection.execute(text("SELECT xmin::text, * FROM partitions ORDER BY id")).all(),
            connection.execute(
                text("SELECT xmin::text, stream_id, steps, data FROM states ORDER BY stream_id")
            ).all(),
        )


def test_a_commit_is_one_transaction_of_its_own(ledger, postgres_engine):
    """All rows of one call carry one transaction id, and no transaction is left open."""
    rows = tuple(StateRow("d", f"s{i}", "1", "e", "open", 1, b"x") for i in range(50))
    ledger.commit([PartitionCommit(0, 1, 1, rows)])
    with postgres_engine.connect() as connection:
        query = text("SELECT xmin::text FROM states UNION SELECT xmin::text FROM partitions")
        assert len(connection.execute(query).all()) == 1
        idle = text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )
        assert connection.execute(idle).scalar() == 0


def test_a_load_looks_up_each_key_and_never_scans_the_partition(ledger, postgres_engine):
    """Without statistics the planner would rather hash all states of the partition."""
    from store import ledger_postgres

    for n in range(4):
        rows = tuple(
            StateRow("d", f"s{n}-{i}", "1", "e", "open", 1, b"x" * 100) for i in range(2000)
        )
        ledger.commit([PartitionCommit(0, 1, n + 1, rows)])
    values = {
        **ledger.topic._asdict(),
        "partition": 0,
        "detector": ["d"] * 1000,
        "stream_id": [f"s0-{i}" for i in range(1000)],
    }
    with postgres_engine.connect() as connection:
        raw = connection.connection.driver_connection
        plan = raw.execute("EXPLAIN " + ledger_postgres.LOAD, values).fetchall()
    lines = [line for (line,) in plan if "states" in line]
    assert lines
    assert all("Index Scan using pk_states" in line for line in lines)
