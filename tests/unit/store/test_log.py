from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from sqlalchemy import text

from store.errors import LogPartitionsError
from store.log import LogPosition, LogRecord, RecordLog, partition_of
from store.session import writing
from store.writer import Writer

APPEND_FOR_EVER = """
import sys
from store.log import RecordLog
from store.session import connect
from store.writer import Writer
engine = connect(sys.argv[1])
log = RecordLog(engine, 4, transact=Writer(engine).transact)
n = 0
while True:
    for partition, offset in log.append([(f"stream-{n % 7}", f"{n}".encode())]):
        print(partition, offset, n, flush=True)
    n += 1
"""


@pytest.fixture
def log(sqlite_engine):
    with Writer(sqlite_engine) as writer:
        yield RecordLog(sqlite_engine, 4, transact=writer.transact)


def test_records_of_one_stream_keep_their_order_in_one_partition(log):
    positions = log.append([("s", b"0"), ("t", b"1"), ("s", b"2")])
    positions += log.append([("s", b"3")])
    partition = partition_of("s", 4)
    of_s = [positions[0], positions[2], positions[3]]
    assert {p.partition for p in of_s} == {partition}
    offsets = {p.offset for p in of_s}
    values = [r.value for r in log.fetch(partition, 0, 100, 100) if r.offset in offsets]
    assert values == [b"0", b"2", b"3"]


def test_offsets_are_dense_from_zero_and_the_end_is_the_next_one(log):
    positions = log.append([(f"s{i}", b"x") for i in range(100)])
    for partition in range(4):
        offsets = [p.offset for p in positions if p.partition == partition]
        assert offsets == list(range(len(offsets)))
        assert log.end(partition) == len(offsets)


def test_fetch_gives_the_range_up_to_the_limit_in_order(log):
    log.append([("s", f"{i}".encode()) for i in range(10)])
    partition = partition_of("s", 4)
    assert log.fetch(partition, 3, 7, 100) == [
        LogRecord(partition, i, f"{i}".encode()) for i in range(3, 7)
    ]
    assert [r.offset for r in log.fetch(partition, 3, 100, 2)] == [3, 4]
    assert log.fetch(partition, 10, 20, 5) == []
    assert log.fetch((partition + 1) % 4, 0, 20, 5) == []


def test_an_empty_append_appends_nothing(log):
    assert log.append([]) == []
    assert [log.end(p) for p in range(4)] == [0, 0, 0, 0]


def test_values_come_back_byte_for_byte(log):
    value = bytes(range(256)) * 4096
    (position,) = log.append([("日本語 🚨", value)])
    assert log.fetch(*position, position.offset + 1, 1)[0].value == value


def test_the_partition_of_a_stream_never_changes():
    """Streams would move between partitions after an upgrade: the hash is a promise."""
    assert [partition_of(s, 8) for s in ("pen-17", "pen-18", "日本語")] == [1, 0, 5]


def test_reopening_goes_on_where_the_log_ended_under_the_same_id(sqlite_engine, log):
    log.append([("s", b"0")])
    again = RecordLog(sqlite_engine, 4)
    assert again.log_id == log.log_id
    assert again.append([("s", b"1")]) == [LogPosition(partition_of("s", 4), 1)]


def test_deleting_old_records_never_gives_an_offset_twice(sqlite_engine, log):
    log.append([("s", b"0"), ("s", b"1")])
    with writing(sqlite_engine) as connection:
        connection.execute(text("DELETE FROM log_records"))
    partition = partition_of("s", 4)
    assert log.end(partition) == 2
    assert log.append([("s", b"2")]) == [LogPosition(partition, 2)]


def test_another_number_of_partitions_is_refused(sqlite_engine, log):
    with pytest.raises(LogPartitionsError, match="Start with 4 partitions"):
        RecordLog(sqlite_engine, 8)


def test_threads_append_without_gaps_or_repeats(log):
    def append():
        for i in range(30):
            log.append([("s", b"x"), (f"t{i}", b"y")])

    threads = [threading.Thread(target=append) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    offsets = [[r.offset for r in log.fetch(p, 0, 10_000, 10_000)] for p in range(4)]
    assert offsets == [list(range(log.end(p))) for p in range(4)]
    assert sum(log.end(p) for p in range(4)) == 360


def test_what_was_acknowledged_survives_a_sigkill(sqlite_url, sqlite_engine):
    with subprocess.Popen(
        [sys.executable, "-c", APPEND_FOR_EVER, sqlite_url], stdout=subprocess.PIPE, text=True
    ) as child:
        acknowledged = [child.stdout.readline().split() for _ in range(60)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [line.split() for line in child.stdout if line.endswith("\n")]
    log = RecordLog(sqlite_engine, 4)
    assert len(acknowledged) >= 60
    for partition, offset, n in acknowledged:
        (record,) = log.fetch(int(partition), int(offset), int(offset) + 1, 1)
        assert record.value == n.encode()
    for partition in range(4):  # and what is there is whole: no gap below the end
        offsets = [r.offset for r in log.fetch(partition, 0, 10**9, 10**9)]
        assert offsets == list(range(log.end(partition)))


def test_pruned_records_are_gone_and_offsets_go_on(log):
    positions = log.append([("s", f"{n}".encode()) for n in range(10)])
    partition = positions[0].partition
    assert log.prune(partition, 7) == 7
    assert [record.offset for record in log.fetch(partition, 0, 10, 99)] == [7, 8, 9]
    assert log.end(partition) == 10
    assert log.append([("s", b"10")]) == [LogPosition(partition, 10)]
