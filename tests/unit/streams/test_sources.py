"""Records of somebody else's topic, read by a mapping."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.config import SourceConfig
from streams.errors import MappingError
from streams.paths import MISSING, compiled
from streams.records import Event, RawRecord, Reason, Rejected
from streams.roster import Roster
from streams.sources import Source
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector

CHAT = SourceConfig(
    fields={"stream_id": "$.chat.id", "event_id": "$.meta.uid", "time": "$.ts", "text": "$.body",
            "end": "$.closed"},
)  # fmt: skip
WARD = SourceConfig(
    fields={"stream_id": "$.patient['ward id']", "time": "$.at"},
    measurements={"HR": "$.obs.pulse", "Temp": "$.obs.temp[0]"},
)


def read(config, **document):
    return Source(config).decode(msgspec.json.encode(document))


def test_a_chat_of_another_shape_becomes_a_text():
    event = read(
        CHAT, chat={"id": 7, "x": 1}, meta={"uid": "m1"}, ts="2026-01-01T00:00:00Z", body="hi",
        closed=True,
    )  # fmt: skip
    assert event == Event(
        "7", event_id="m1", time=datetime(2026, 1, 1, tzinfo=UTC), text="hi", end=True
    )


@pytest.mark.parametrize("ts", [1767225600, 1767225600.0, 1767225600000])
def test_times_may_be_seconds_or_milliseconds(ts):
    assert read(CHAT, chat={"id": "a"}, body="x", ts=ts).time == datetime(2026, 1, 1, tzinfo=UTC)


def test_measurements_are_gathered_from_where_they_stand_and_gaps_are_gaps():
    event = read(WARD, patient={"ward id": "p"}, at=0, obs={"pulse": None, "temp": [36.5, 1]})
    assert event.measurements == {"HR": None, "Temp": 36.5}
    event = read(WARD, patient={"ward id": "p"}, at=0, obs={"pulse": 80})
    assert event.measurements == {"HR": 80.0}


def test_scores_and_frames_can_be_mapped():
    config = SourceConfig(fields={"stream_id": "$.s"}, scores={"no": "$.p[0]", "yes": "$.p[1]"})
    assert read(config, s="a", p=[0.25, 0.75]).scores == {"no": 0.25, "yes": 0.75}
    config = SourceConfig(fields={"stream_id": "$.s", "frames": "$.mfcc"})
    assert read(config, s="a", mfcc=[1, 2]).frames == [[1.0, 2.0]]
    assert read(config, s="a", mfcc=[[1, 2], [3, 4]]).frames == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("document", "reason", "said"),
    [
        ({"type": "heartbeat"}, Reason.MAPPING, "$.chat.id"),
        ({"chat": {"id": "a"}, "ts": 0}, Reason.MAPPING, "none of the mapped contents"),
        ({"chat": {"id": "a"}, "body": 3}, Reason.MAPPING, "text"),
        ({"chat": {"id": ["a"]}, "body": "x"}, Reason.MAPPING, "stream_id"),
        ({"chat": {"id": ""}, "body": "x"}, Reason.MAPPING, "stream_id"),
        ({"chat": {"id": True}, "body": "x"}, Reason.MAPPING, "stream_id"),
        ({"chat": {"id": "a"}, "body": "x", "ts": "yesterday"}, Reason.MAPPING, "time"),
        ({"chat": {"id": "a"}, "body": "x", "ts": 1e300}, Reason.SCHEMA, "2200"),
        ({"chat": {"id": "a"}, "body": "x", "closed": "yes"}, Reason.MAPPING, "end"),
        ({"chat": {"id": "a\x00"}, "body": "x"}, Reason.NULL_BYTE, "null byte"),
    ],
)
def test_what_the_mapping_cannot_use_is_told_without_repeating_it(document, reason, said):
    answer = read(CHAT, **document)
    assert isinstance(answer, Rejected)
    assert answer.reason is reason
    assert said in answer.detail
    assert "yesterday" not in answer.detail


@given(st.binary(max_size=60) | st.from_type(dict[str, int]).map(msgspec.json.encode))
def test_no_bytes_make_a_source_raise(value):
    assert isinstance(Source(CHAT).decode(value), Event | Rejected)


@pytest.mark.parametrize(
    "config",
    [
        SourceConfig(fields={"text": "$.body"}),
        SourceConfig(fields={"stream_id": "$.s"}),
        SourceConfig(fields={"stream_id": "$.s", "words": "$.w"}),
        SourceConfig(fields={"stream_id": "$.s", "text": "$.a["}),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_at_the_start(config):
    with pytest.raises(MappingError, match=r"\[source\]"):
        Source(config)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", {"a": [{"b": 1}, {"b": 2}]}),
        ("$.a[1].b", 2),
        ("$.a[*].b", [1, 2]),
        ("$.a[9].b", MISSING),
        ("$.a.b", MISSING),
        ("$.c[*].d", MISSING),
    ],
)
def test_paths_find_what_stands_there(path, found):
    assert compiled(path)({"a": [{"b": 1}, {"b": 2}]}) == found


def test_detectors_with_different_mappings_share_a_topic():
    from dataclasses import replace

    import numpy as np

    def listening(name, source):
        made = toy_detector(name=name, thresholds=np.full(6, np.inf))
        return replace(made, config=msgspec.structs.replace(made.config, source=source))

    flat = SourceConfig(fields={"stream_id": "$.id", "frames": "$.xy"})
    log, ledger = FakeLog(), FakeLedger()
    worker = Worker(
        Roster([listening("a", SourceConfig()), listening("b", flat), listening("c", flat)]),
        ledger, log, topic_id="t",
    )  # fmt: skip
    worker.assign([0])
    values = [
        b'{"stream_id": "s", "frames": [[1, 2]], "end": true}',
        b'{"id": "s", "xy": [1, 2]}',
        b'{"id": 9, "xy": [1]}',
    ]
    worker.process([RawRecord(0, i, value) for i, value in enumerate(values)])
    assert {(key.detector, key.stream_id) for _, key in ledger.states} == {
        ("a", "s"), ("b", "s"), ("c", "s"),
    }  # fmt: skip
    letters = sorted((d.offset, d.detector or "", d.reason) for _, d in ledger.dead_letters)
    assert letters == [
        (0, "b", Reason.MAPPING),
        (1, "", Reason.SCHEMA),
        (2, "", Reason.SCHEMA),
        (2, "b", Reason.WRONG_WIDTH),
        (2, "c", Reason.WRONG_WIDTH),
    ]
