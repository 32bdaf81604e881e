"""Records that cannot be used: each fault has one reason, and no answer repeats the payload."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import decode, encode
from streams.records import MAX_RECORD_BYTES, Event, Reason, Rejected

GOOD = {"stream_id": "a", "event_id": "a/1", "frames": [[1.0, 2.0]], "end": False}


def altered(**changes):
    return msgspec.json.encode({**GOOD, **changes})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.EMPTY),
        (b"", Reason.EMPTY),
        (b"{", Reason.MALFORMED),
        (b"\xff\xfe{}", Reason.MALFORMED),
        (b'{"stream_id": "a", "frames": [[NaN, 1]]}', Reason.MALFORMED),
        (b'{"stream_id": "a", "frames": [[Infinity, 1]]}', Reason.MALFORMED),
        (b'{"stream_id": "\\ud800", "end": true}', Reason.MALFORMED),
        (b'{"stream_id": "a", "end": true} trailing', Reason.MALFORMED),
        (b'{"a":' * 100_000, Reason.SCHEMA),
        (b'{"stream_id": "a", "frames": [[1e999, 1]]}', Reason.SCHEMA),
        (b"[]", Reason.SCHEMA),
        (b"{}", Reason.SCHEMA),
        (altered(stream_id=7), Reason.SCHEMA),
        (altered(stream_id=""), Reason.SCHEMA),
        (altered(stream_id="x" * 257), Reason.SCHEMA),
        (altered(frames=[["1", 2.0]]), Reason.SCHEMA),
        (altered(frames=[1.0, 2.0]), Reason.SCHEMA),
        (altered(end=1), Reason.SCHEMA),
        (altered(v=2), Reason.SCHEMA),
        (altered(time="2026-11-22T09:00:00"), Reason.SCHEMA),
        (altered(time="0001-01-01T00:00:00+23:00"), Reason.SCHEMA),
        (altered(time="9999-12-31T23:59:59-23:00"), Reason.SCHEMA),
        (altered(sream_id="typo"), Reason.SCHEMA),
        (altered(stream_id="a\x00b"), Reason.NULL_BYTE),
        (altered(event_id="\x00"), Reason.NULL_BYTE),
        (altered(frames=[]), Reason.NO_CONTENT),
        (altered(frames=None), Reason.NO_CONTENT),
        (b" " * (2 * MAX_RECORD_BYTES), Reason.TOO_LARGE),
    ],
)
def test_each_fault_has_its_reason(value, reason):
    answer = decode(value)
    assert isinstance(answer, Rejected)
    assert answer.reason is reason


@given(st.binary(max_size=200))
def test_no_bytes_make_the_codec_raise(value):
    assert isinstance(decode(value), Event | Rejected)


@given(st.text(min_size=5, max_size=20), st.sampled_from(["v", "end", "time", "stream_id", "who"]))
def test_details_never_quote_the_payload(secret, name):
    hidden = f"{secret}-personal-text"
    for changes in ({name: [hidden]}, {hidden: 1}, {name: {hidden: hidden}}):
        answer = decode(altered(**changes))
        if isinstance(answer, Rejected):
            assert "personal-text" not in answer.detail


def test_what_is_encoded_is_decoded():
    event = Event("ünï/☃", event_id="1", detector="d", frames=[[0.1, -2.5e-8]], end=True)
    assert decode(encode(event)) == event
