"""Walking streams through a classifier, and comparing to the last bit."""

from __future__ import annotations


def walk(classifier, inputs):
    """Return the states before and after every step, and the outputs."""
    state = classifier.start(len(inputs))
    states, outputs = [state], []
    for t in range(inputs.shape[1]):
        state, output = classifier.step(state, inputs[:, t])
        states.append(state)
        outputs.append(output)
    return states, outputs


def equal(one, other):
    """Compare to the last bit, signs of zeros and all."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def everything(state, output):
    return {**state, "probabilities": output.probabilities, **output.auxiliary}
