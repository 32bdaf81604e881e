"""The label record: decoded, named, or refused without a word of what it said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.labels import MAX_LABEL_BYTES, Label, LabelReason, Unusable, decode_label, to_keep

GOOD = {"stream_id": "pen-17", "label": "3", "source": "nurse-17"}


def decoded(**changes):
    return decode_label(json.dumps(GOOD | changes).encode())


def test_a_whole_label_is_read():
    found = decoded(
        v=1, label_id="x", detector="pens", episode="e", time="2026-11-22T12:30:00+01:00"
    )
    assert found == Label(
        "pen-17", "3", "nurse-17", label_id="x", detector="pens", episode="e",
        time=datetime(2026, 11, 22, 11, 30, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, LabelReason.EMPTY),
        (b"", LabelReason.EMPTY),
        (b"{", LabelReason.MALFORMED),
        (b"\xff", LabelReason.MALFORMED),
        (b"[" * 5000, LabelReason.SCHEMA),
        (b"[]", LabelReason.SCHEMA),
        (b'{"stream_id": "' + b"x" * MAX_LABEL_BYTES + b'"}', LabelReason.TOO_LARGE),
    ],
)
def test_what_is_no_label_is_refused_with_the_reason(value, reason):
    assert decode_label(value).reason is reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, LabelReason.SCHEMA),
        ({"note": "private"}, LabelReason.SCHEMA),
        ({"label": ""}, LabelReason.SCHEMA),
        ({"label": "x" * 129}, LabelReason.SCHEMA),
        ({"source": None}, LabelReason.SCHEMA),
        ({"stream_id": "x" * 257}, LabelReason.SCHEMA),
        ({"detector": "x" * 65}, LabelReason.SCHEMA),
        ({"time": "2026-11-22T12:30:00"}, LabelReason.SCHEMA),
        ({"time": "1066-10-14T09:00:00Z"}, LabelReason.SCHEMA),
        *(
            ({field: "private\x00"}, LabelReason.NULL_BYTE)
            for field in ("stream_id", "label", "source", "label_id", "detector", "episode")
        ),
    ],
)
def test_a_field_that_cannot_be_used_is_named_and_never_quoted(change, reason):
    found = decoded(**change)
    assert found.reason is reason
    assert "private" not in found.detail


@given(st.binary(max_size=60) | st.text(max_size=30).map(str.encode))
def test_no_bytes_raise(value):
    assert isinstance(decode_label(value), (Label, Unusable))


@given(
    st.fixed_dictionaries(
        {name: st.text(max_size=4) | st.integers() | st.none() for name in GOOD},
        optional={"time": st.text(max_size=8), "detector": st.text(max_size=3)},
    )
)
def test_no_fields_raise(fields):
    assert isinstance(decode_label(json.dumps(fields).encode()), (Label, Unusable))


def test_a_label_with_a_time_is_named_by_what_it_says():
    made = map(str, count())
    names = [
        to_keep(decoded(**change), "api", made.__next__).label_id
        for change in (
            {"time": "2026-11-22T12:30:00+01:00"},
            {"time": "2026-11-22T11:30:00Z"},
            {"time": "2026-11-22T11:30:01Z"},
            {"time": "2026-11-22T11:30:00Z", "label": "5"},
            {"time": "2026-11-22T11:30:00Z", "source": "chargebacks"},
            {"time": "2026-11-22T11:30:00Z", "detector": "e"},
            {"time": "2026-11-22T11:30:00Z", "episode": "e"},
        )
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 6
    assert next(made) == "0"


def test_one_without_a_time_gets_a_new_name_and_one_with_a_name_keeps_it():
    assert to_keep(decoded(), "topic", lambda: "t/0/7").label_id == "t/0/7"
    assert to_keep(decoded(label_id="x"), "topic", lambda: "t/0/7").label_id == "x"
