from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, update

from store.errors import OtherDetectorsError
from store.instants import utc_now
from store.session import writing
from store.tables import WorkerRow
from store.workers import beat, forget, register

TTL_S = 30


def silence(engine, worker_id):
    """Make it long ago that the worker was heard of."""
    with writing(engine) as connection:
        silent = utc_now(-2 * TTL_S)
        connection.execute(
            update(WorkerRow).where(WorkerRow.id == worker_id).values(seen_at=silent)
        )


def alive(engine):
    with engine.connect() as connection:
        return set(connection.execute(select(WorkerRow.id)).scalars())


def test_workers_with_the_same_detectors_share_a_group(store_engine):
    for worker_id in ("a", "b", "a"):
        register(store_engine, worker_id, "g", "same", TTL_S)
    assert alive(store_engine) == {"a", "b"}


def test_other_detectors_are_refused_and_the_other_worker_is_named(store_engine):
    register(store_engine, "a", "g", "old", TTL_S)
    with pytest.raises(OtherDetectorsError, match="worker 'a' of the same group 'g'"):
        register(store_engine, "b", "g", "new", TTL_S)
    assert alive(store_engine) == {"a"}


def test_another_group_may_run_other_detectors(store_engine):
    register(store_engine, "a", "g", "old", TTL_S)
    register(store_engine, "b", "h", "new", TTL_S)
    assert alive(store_engine) == {"a", "b"}


def test_a_worker_that_restarts_with_new_detectors_is_no_rival_of_itself(store_engine):
    register(store_engine, "a", "g", "old", TTL_S)
    register(store_engine, "a", "g", "new", TTL_S)
    with pytest.raises(OtherDetectorsError):  # it stands for the new ones from now on
        register(store_engine, "b", "g", "old", TTL_S)


def test_a_worker_not_heard_of_for_the_ttl_hinders_nobody(store_engine):
    register(store_engine, "a", "g", "old", TTL_S)
    silence(store_engine, "a")
    register(store_engine, "b", "g", "new", TTL_S)
    assert alive(store_engine) == {"b"}
    assert not beat(store_engine, "a"), "a zombie learns that it was given up"
    with pytest.raises(OtherDetectorsError):
        register(store_engine, "a", "g", "old", TTL_S)


def test_a_beat_keeps_a_worker_alive(store_engine):
    register(store_engine, "a", "g", "old", TTL_S)
    silence(store_engine, "a")
    assert beat(store_engine, "a")
    with pytest.raises(OtherDetectorsError):
        register(store_engine, "b", "g", "new", TTL_S)


def test_a_worker_that_ends_in_order_is_forgotten_at_once(store_engine):
    register(store_engine, "a", "g", "old", TTL_S)
    forget(store_engine, "a")
    forget(store_engine, "a")
    register(store_engine, "b", "g", "new", TTL_S)


def test_of_workers_that_start_at_once_one_set_of_detectors_wins(store_engine):
    refused, barrier = [], threading.Barrier(6)

    def start(i):
        barrier.wait(timeout=10)
        try:
            register(store_engine, f"w{i}", "g", f"detectors-{i % 2}", TTL_S)
        except OtherDetectorsError:
            refused.append(i % 2)

    threads = [threading.Thread(target=start, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(refused) == 3
    assert len(set(refused)) == 1
