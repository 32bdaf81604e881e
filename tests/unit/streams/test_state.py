"""The binary encoding of states."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import StateFormatError
from streams.state import decode, encode, fresh, layout_for, remembered
from tests.toys import toy_detector

DETECTOR = toy_detector(horizon=10)
LAYOUT = layout_for(DETECTOR.classifier, DETECTOR.signal, DETECTOR.horizon)


def filled(counts, seed=0):
    """Rows with random content where a state may have any, and zeros where it is not filled."""
    random = np.random.default_rng(seed)
    rows = fresh(LAYOUT, len(counts))
    for i, (n_records, n_points) in enumerate(counts):
        rows["n_records"][i], rows["n_points"][i] = n_records, n_points
        n_recent = min(n_records, 64)
        rows["recent"][i, :n_recent] = random.integers(1, 2**63, n_recent)
        rows["points"]["step"][i, :n_points] = random.integers(1, 99, n_points)
        rows["phase"][i], rows["t"][i] = random.integers(0, 5), random.integers(0, 99)
        rows["m.total"][i], rows["probabilities"][i] = random.normal(), random.random(2)
    return rows


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 10)), max_size=20))
def test_rows_survive_the_encoding(counts):
    rows = filled(counts)
    again = decode(LAYOUT, encode(LAYOUT, rows), detector="toy", version="v1")
    assert again.tobytes() == rows.tobytes()


def test_short_streams_are_small():
    small, large = encode(LAYOUT, filled([(1, 1), (64, 10)]))
    assert len(large) - len(small) == 63 * 8 + 9 * 14
    assert len(small) < 120


def test_what_a_stream_remembers_can_be_read_without_its_layout():
    rows = filled([(3, 2), (100, 5)])
    for row, blob in zip(rows, encode(LAYOUT, rows), strict=True):
        n_records, recent = remembered(blob)
        assert n_records == row["n_records"]
        assert recent.tolist() == row["recent"][: min(n_records, 64)].tolist()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda blob: b"\x02" + blob[1:],
        lambda blob: blob[:1] + b"\x00\x00\x00\x00" + blob[5:],
        lambda blob: blob[:-1],
        lambda blob: blob + b"\x00",
        lambda blob: blob[:7],
        lambda blob: b"",
    ],
)
def test_a_state_of_another_layout_is_refused_with_advice(spoil):
    good = encode(LAYOUT, filled([(3, 2)]))[0]
    with pytest.raises(StateFormatError, match="put the old artefact back"):
        decode(LAYOUT, [good, spoil(good)], detector="toy", version="v1")


def test_a_wider_classifier_has_another_layout():
    wider = toy_detector(ballast=1)
    layout = layout_for(wider.classifier, wider.signal, 10)
    assert layout.fingerprint != LAYOUT.fingerprint
