"""`tocsin topics` and `tocsin produce`, as their users call them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from uuid import uuid4

import pytest

from streams import topics

pytestmark = pytest.mark.kafka


@pytest.fixture
def tocsin(broker, tmp_path):
    unique = uuid4().hex[:8]
    names = {
        "TOCSIN_KAFKA_SERVERS": broker.servers,
        "TOCSIN_TOPIC": f"records-{unique}",
        "TOCSIN_DECISIONS_TOPIC": f"decisions-{unique}",
        "TOCSIN_LABELS_TOPIC": f"labels-{unique}",
        "TOCSIN_STATE_DIR": str(tmp_path),
        "TOCSIN_GROUP": "commands",
    }

    def run(*arguments, stdin=b"", **changes):
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *map(str, arguments)],
            env={**os.environ, **names, **changes},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    run.topic = names["TOCSIN_TOPIC"]
    return run


def document(answer):
    code, out, err = answer
    assert code == 0, err
    return json.loads(out)


def test_create_is_idempotent_and_describe_shows_all_topics(tocsin):
    first = document(tocsin("topics", "create", "--partitions", 3, "--json"))["topics"]
    again = document(tocsin("topics", "create", "--partitions", 3, "--json"))["topics"]
    assert [row["created"] for row in first] == [True, True, True]
    assert [row["created"] for row in again] == [False, False, False]
    assert [row["topic_id"] for row in first] == [row["topic_id"] for row in again]
    described = document(tocsin("topics", "describe", "--json"))["topics"]
    assert [len(topic["partitions"]) for topic in described] == [3, 3, 3]
    code, _, err = tocsin("topics", "create", "--partitions", 4)
    assert code == 1
    assert "there already with 3 partitions" in err


def test_a_record_of_the_largest_size_fits_into_a_topic_of_ours(tocsin, broker):
    from streams.records import MAX_RECORD_BYTES

    document(tocsin("topics", "create", "--partitions", 1, "--json"))
    broker.put(tocsin.topic, [os.urandom(MAX_RECORD_BYTES)], **{"message.max.bytes": 3_000_000})
    assert topics.positions(broker.servers, tocsin.topic)[1][0].end == 1


def test_lines_are_sent_and_bad_ones_reported_by_number_with_exit_code_1(tocsin, broker, tmp_path):
    document(tocsin("topics", "create", "--partitions", 1, "--json"))
    private = "what-a-person-wrote"
    lines = [
        '{"stream_id": "a", "frames": [[1, 2]]}',
        f'{{"stream_id": 7, "event_id": "{private}"}}',
        "",
        '{"stream_id": "a", "end": true}',
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(lines) + "\n")
    for arguments, stdin in ((("produce", path), b""), (("produce", "-"), path.read_bytes())):
        code, out, err = tocsin(*arguments, "--json", stdin=stdin)
        assert code == 1
        assert (json.loads(out)["sent"], json.loads(out)["refused"]) == (2, 1)
        assert "line 2: schema" in err
        assert private not in err + out
    assert document(tocsin("produce", path, "--raw", "--json"))["sent"] == 3


def test_a_file_a_part_or_a_detector_that_is_not_there_is_said_plainly(tocsin, tmp_path):
    document(tocsin("topics", "create", "--partitions", 1, "--json"))
    for arguments, advice in (
        (("produce", tmp_path / "none.jsonl"), "cannot be read"),
        (("produce", "pendigits-parts"), "--detector"),
        (("produce", "pendigits-parts", "--detector", "nobody"), "no detector 'nobody'"),
    ):
        code, _, err = tocsin(*arguments)
        assert code == 1
        assert advice in err
        assert "Traceback" not in err


@pytest.mark.postgres
def test_lag_is_the_ledgers(tocsin, broker, postgres_engine, postgres_url):
    from store.ledger import SqlLedger
    from store.rows import PartitionCommit

    document(tocsin("topics", "create", "--partitions", 2, "--json"))
    broker.put(tocsin.topic, [b"x"] * 10, partition=1)
    at = topics.find(broker.servers, tocsin.topic)
    ledger = SqlLedger(postgres_engine, "commands", at.name, at.topic_id, at.n_partitions)
    ledger.commit([PartitionCommit(1, ledger.claim([1])[1].epoch, 4)])
    found = document(tocsin("topics", "lag", "--json", TOCSIN_STORE_URL=postgres_url))
    assert found["lag"] == 6
    assert [(row["next_offset"], row["end"], row["lag"]) for row in found["partitions"]] == [
        (None, 0, 0),
        (4, 10, 6),
    ]
    code, out, _ = tocsin("topics", "lag", TOCSIN_STORE_URL=postgres_url)
    assert code == 0
    assert "never claimed" in out


@pytest.mark.parametrize(
    "command", [("topics", "create"), ("topics", "describe"), ("topics", "lag"), ("produce", "-")]
)
def test_an_absent_broker_is_one_message_within_ten_seconds(tocsin, command):
    began = time.monotonic()
    code, out, err = tocsin(*command, TOCSIN_KAFKA_SERVERS="127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err.startswith("error: no Kafka answered at 127.0.0.1:1")
    assert len(err.strip().splitlines()) == 1
    assert time.monotonic() - began < 10


def test_without_a_configured_broker_the_setting_is_named(tocsin):
    code, _, err = tocsin("topics", "describe", TOCSIN_KAFKA_SERVERS="")
    assert code == 1
    assert "set TOCSIN_KAFKA_SERVERS" in err
