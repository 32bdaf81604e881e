from __future__ import annotations

import threading

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from store.errors import StoreUnavailableError, WriterClosedError
from store.instants import utc_now
from store.session import connect
from store.tables import LeaseRow
from store.writer import Writer


def put(name):
    def job(connection):
        connection.execute(insert(LeaseRow).values(name=name, holder="h", expires_at=utc_now()))
        return name

    return job


def names(engine):
    with engine.connect() as connection:
        return sorted(connection.execute(select(LeaseRow.name)).scalars())


class Held:
    """Keeps the writer busy until released, so that the jobs behind it form one group."""

    def __init__(self, writer):
        self.started, self.go_on = threading.Event(), threading.Event()
        writer.submit(self)
        self.started.wait(timeout=10)

    def __call__(self, _connection):
        self.started.set()
        self.go_on.wait(timeout=10)


def test_an_answer_is_given_once_the_job_is_stored(sqlite_engine):
    with Writer(sqlite_engine) as writer:
        assert writer.transact(put("a")) == "a"
        assert names(sqlite_engine) == ["a"]


def test_jobs_that_wait_share_one_transaction(sqlite_engine):
    transactions = []

    def note(connection):
        transactions.append(id(connection.get_transaction()))
        return connection.get_transaction()  # keeps it alive, so that ids are not reused

    with Writer(sqlite_engine) as writer:
        held = Held(writer)
        futures = [writer.submit(note) for _ in range(20)]
        held.go_on.set()
        kept = [future.result() for future in futures]
    assert len(kept) == 20
    assert len(set(transactions)) == 1


def test_jobs_run_in_the_order_of_submission(sqlite_engine):
    order = []
    with Writer(sqlite_engine) as writer:
        futures = [writer.submit(lambda _, i=i: order.append(i)) for i in range(500)]
        for future in futures:
            future.result()
    assert order == list(range(500))


def test_a_failing_job_is_undone_and_its_neighbours_stay(sqlite_engine):
    def half(connection):
        put("half")(connection)
        put("first")(connection)  # a duplicate

    with Writer(sqlite_engine) as writer:
        held = Held(writer)
        futures = [writer.submit(job) for job in (put("first"), half, put("last"))]
        held.go_on.set()
        assert futures[0].result() == "first"
        with pytest.raises(IntegrityError):
            futures[1].result()
        assert futures[2].result() == "last"
    assert names(sqlite_engine) == ["first", "last"]


def test_a_group_that_cannot_be_committed_fails_for_all_and_the_writer_goes_on(sqlite_engine):
    with Writer(sqlite_engine) as writer:
        held = Held(writer)
        futures = [
            writer.submit(put("a")),
            writer.submit(lambda connection: connection.execute(text("ROLLBACK"))),
            writer.submit(put("b")),
        ]
        held.go_on.set()
        for future in futures:
            with pytest.raises(StoreUnavailableError):
                future.result()
        assert names(sqlite_engine) == []
        assert writer.transact(put("c")) == "c"
    assert names(sqlite_engine) == ["c"]


def test_a_store_that_is_locked_too_long_is_reported_and_used_again_later(sqlite_url):
    engine, intruder = connect(sqlite_url), connect(sqlite_url)
    impatient = engine.execution_options()
    with engine.connect() as connection:
        connection.execute(text("PRAGMA busy_timeout = 50"))  # the pool hands it out again
    with Writer(impatient) as writer:
        with intruder.execution_options(tocsin_writes=True).begin() as held:
            held.execute(text("DELETE FROM leases"))
            with pytest.raises(StoreUnavailableError, match="locked"):
                writer.transact(put("a"))
        assert writer.transact(put("b")) == "b"
    assert names(engine) == ["b"]
    engine.dispose()
    intruder.dispose()


def test_closing_finishes_what_waits_and_takes_no_more(sqlite_engine):
    writer = Writer(sqlite_engine)
    held = Held(writer)
    futures = [writer.submit(put(f"{i:03}")) for i in range(300)]
    closing = threading.Thread(target=writer.close)
    closing.start()
    held.go_on.set()
    closing.join(timeout=10)
    assert all(future.done() for future in futures)
    assert len(names(sqlite_engine)) == 300
    with pytest.raises(WriterClosedError, match="after a restart"):
        writer.submit(put("late"))
    writer.close()


def test_a_job_that_was_cancelled_while_it_waited_does_not_run(sqlite_engine):
    with Writer(sqlite_engine) as writer:
        held = Held(writer)
        cancelled, kept = writer.submit(put("cancelled")), writer.submit(put("kept"))
        assert cancelled.cancel()
        held.go_on.set()
        kept.result()
    assert names(sqlite_engine) == ["kept"]


def test_a_job_that_waits_for_another_job_is_refused_not_stuck(sqlite_engine):
    with (
        Writer(sqlite_engine) as writer,
        pytest.raises(RuntimeError, match="wait for ever"),
    ):
        writer.transact(lambda _: writer.transact(put("inner")))


def test_many_threads_may_write_at_once(sqlite_engine):
    with Writer(sqlite_engine) as writer:

        def write(number):
            for i in range(25):
                writer.transact(put(f"{number}-{i}"))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    assert len(names(sqlite_engine)) == 200
