from __future__ import annotations

import json

import pytest

from streams.codec import decode
from streams.produce import BadLine, Keyed, from_lines, paced
from streams.records import Reason

GOOD = b'{"stream_id": "a", "frames": [[1.0, 2.0]]}'


def test_good_lines_are_sent_byte_for_byte_under_their_stream():
    assert list(from_lines([GOOD + b"\n", GOOD + b"\r\n"])) == [Keyed(b"a", GOOD)] * 2


def test_blank_lines_are_no_records_but_count_as_lines():
    (bad,) = from_lines([b"\n", b"   \n", b"nonsense\n"])
    assert (bad.number, bad.rejected.reason) == (3, Reason.MALFORMED)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", Reason.MALFORMED),
        (b'{"frames": []}', Reason.SCHEMA),
        (b'{"stream_id": "a"}', Reason.NO_CONTENT),
        (b'{"stream_id": "a", "frames": [[NaN]]}', Reason.MALFORMED),
        (b"\xff", Reason.MALFORMED),
    ],
)
def test_a_bad_line_is_reported_by_number_and_reason_and_never_by_content(line, reason):
    first, bad, last = from_lines([GOOD, line, GOOD])
    assert isinstance(first, Keyed)
    assert isinstance(last, Keyed)
    assert isinstance(bad, BadLine)
    assert (bad.number, bad.rejected.reason) == (2, reason)


def test_raw_lines_are_sent_whatever_they_hold():
    lines = [GOOD, b"nonsense", b"\xff\x00"]
    assert list(from_lines(lines, raw=True)) == [
        Keyed(b"a", GOOD),
        Keyed(None, b"nonsense"),
        Keyed(None, b"\xff\x00"),
    ]


def test_a_detector_is_written_only_where_none_is_named():
    named = b'{"stream_id": "a", "detector": "mine", "end": true}'
    filled, kept = from_lines([GOOD, named], detector="pen")
    assert decode(filled.value).detector == "pen"
    assert decode(filled.value).frames == [[1.0, 2.0]]
    assert json.loads(kept.value)["detector"] == "mine"


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_the_pace_is_kept_over_the_run_and_a_late_item_delays_no_other():
    clock, sent = Clock(), []
    for item in paced(range(20), 10, clock=clock, sleep=clock.sleep):
        if item == 5:
            clock.now += 0.35  # slower than the pace for a while
        sent.append(clock.now)
    assert sent[4] == pytest.approx(0.4)
    assert sent[19] == pytest.approx(1.9)


def test_without_a_rate_nothing_waits():
    clock = Clock()
    assert list(paced(range(1000), None, clock=clock, sleep=clock.sleep)) == list(range(1000))
    assert clock.now == 0
