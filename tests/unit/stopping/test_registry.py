from __future__ import annotations

import numpy as np
import pytest

from stopping.errors import MissingInputError, SignalParameterError, UnknownSignalError
from stopping.signals.registry import SIGNALS, check_needs, create
from stopping.signals.rounding import rounded


def update(name, probs, **aux):
    signal, probs = create(name), np.asarray(probs, np.float32)
    columns = {key: np.asarray(value, np.float32) for key, value in aux.items()}
    steps = np.ones(len(probs), np.int64)
    return signal.update(signal.start(len(probs)), probs, columns, steps)[1].tolist()


def test_the_correctness_signal_is_the_heads_output_and_ignores_the_probabilities():
    assert update("correctness", [[0.9, 0.1], [0.5, 0.5]], correctness=[0.25, 0.75]) == [
        0.25,
        0.75,
    ]


def test_the_maximum_signal_is_the_largest_probability_of_each_row():
    assert update("maximum", [[0.75, 0.25], [0.5, 0.5]]) == [0.75, 0.5]


def test_the_alarm_signal_is_the_probability_of_the_one_label_that_is_raised():
    signal = create("alarm", alarm=1)
    probs = np.array([[0.25, 0.5, 0.25], [0.875, 0.0, 0.125]], np.float32)
    _, readiness = signal.update(signal.start(2), probs, {}, np.ones(2, np.int64))
    assert readiness.tolist() == [0.5, 0.0]


@pytest.mark.parametrize("alarm", [-1, True, "sepsis", 1.0])
def test_an_alarm_that_is_no_class_index_is_refused(alarm):
    with pytest.raises(SignalParameterError, match=r"'alarm' cannot .*must be a class index"):
        create("alarm", alarm=alarm)


def test_the_alarm_signal_cannot_be_made_without_its_label():
    with pytest.raises(SignalParameterError, match="alarm"):
        create("alarm", alarm=None)


def test_other_signals_are_made_the_same_way_without_an_alarm():
    assert create("maximum", alarm=None).bounds == (0.0, 1.0)
    with pytest.raises(SignalParameterError, match=r"'maximum' cannot .* alarm"):
        create("maximum", alarm=1)


def test_an_unknown_signal_is_refused_with_the_known_ones():
    with pytest.raises(UnknownSignalError, match=r"no signal 'max'.*correctness, maximum"):
        create("max")


def test_parameters_that_a_signal_does_not_take_are_refused():
    with pytest.raises(SignalParameterError, match=r"'maximum' cannot .* width: .*argument"):
        create("maximum", width=3)


def test_a_signal_whose_input_the_classifier_lacks_is_refused():
    with pytest.raises(
        MissingInputError, match=r"reads aux:correctness.*gives only aux:margin, probs"
    ):
        check_needs("correctness", create("correctness"), {"margin"})
    check_needs("correctness", create("correctness"), {"correctness"})
    check_needs("maximum", create("maximum"), set())


def test_the_registry_cannot_be_changed_from_outside():
    with pytest.raises(TypeError):
        SIGNALS["maximum"] = None


def test_rounding_is_to_the_nearest_multiple_of_two_to_the_minus_sixteen():
    unit = 2.0**-16
    values = np.array([0.4 * unit, 0.6 * unit, 0.5 * unit, 1.5 * unit, -1.2 * unit, 1.0, -np.inf])
    assert rounded(values).tolist() == [0, unit, 0, 2 * unit, -unit, 1.0, -np.inf]


def test_rounding_forgets_differences_in_the_last_bits():
    value = np.float32(0.7)
    assert rounded(np.array([value])) == rounded(np.array([np.nextafter(value, np.float32(1))]))


def test_rounding_twice_is_rounding_once_and_zero_has_no_sign():
    values = np.random.default_rng(0).normal(size=1000)
    assert np.array_equal(rounded(rounded(values)), rounded(values))
    assert not np.signbit(rounded(np.array([-1e-9]))).any()
