from __future__ import annotations

import numpy as np
import pytest

from models.vitals.features import BUSY, CLOCK, MADE, WORKFLOW, Features
from models.vitals.memory import Memory
from tests.unit.models.vitals.made_up import CHANNELS, records

EVERYTHING = tuple(dict.fromkeys(name for figure in MADE for name in figure.channels))


def state_of(values, names):
    """The state after one record with these values by name."""
    n = len(names)
    ranges = np.tile(np.array([-1e9, 1e9], np.float32), (n, 1))
    inputs = records(np.random.default_rng(0), 1, 1, width=n)[:, 0]
    inputs["values"] = [[values.get(name, np.nan) for name in names]]
    memory = Memory(np.arange(n), ranges)
    return memory.step(memory.start(1), inputs)[0]


def row(values, names=EVERYTHING, selection="all"):
    features = Features(names, selection)
    matrix = features.matrix(state_of(values, names))
    assert matrix.dtype == np.float32
    assert matrix.shape == (1, len(features.columns))
    return dict(
        zip([(c.shown, c.kind) for c in features.columns], matrix[0].tolist(), strict=True)
    )


@pytest.mark.parametrize("selection", ["all", "values", "clock"])
@pytest.mark.parametrize("names", [CHANNELS, EVERYTHING, ("Luftdruck",), ("a", "HR", "SBP")])
def test_every_column_has_its_name_whatever_the_channels_are_called(names, selection):
    found = row({names[0]: 3.0}, names, selection)
    assert found[CLOCK, "clock"] == 0
    assert found[names[0], "last"] == 3
    assert len(found) == len(Features(names, selection).columns)


def test_figures_are_made_only_where_their_channels_are_there():
    assert ("HR/SBP", "made") in row({}, ("a", "HR", "SBP"))
    assert ("HR/SBP", "made") not in row({}, ("a", "HR"))
    assert not any(kind == "made" for _, kind in row({}, EVERYTHING, "clock"))


def test_figures_are_those_of_the_last_values():
    found = row({"HR": 120.0, "SBP": 80.0, "DBP": 50.0, "Temp": 39.0, "WBC": 13.0, "Lactate": 3.0})
    assert found["HR/SBP", "made"] == pytest.approx(1.5)
    assert found["SBP-DBP", "made"] == 30
    assert found["signs of inflammation", "made"] == 3
    assert found["signs of organ failure", "made"] == 2  # lactate, and a systolic pressure of 80
    assert np.isnan(found["BUN/Creatinine", "made"])


def test_nothing_is_divided_by_nothing():
    assert np.isnan(row({"HR": 90.0, "SBP": 0.0})["HR/SBP", "made"])
    assert np.isnan(row({"HR": 1e9, "SBP": 1e-38})["HR/SBP", "made"])


def test_a_channel_that_was_never_measured_has_no_value_and_no_age_but_a_count():
    found = row({"HR": 90.0})
    assert np.isnan(found["SBP", "last"])
    assert np.isnan(found["SBP", "age"])
    assert np.isnan(found["SBP", "beside fast"])
    assert np.isnan(found["HR", "spread"])
    assert found["SBP", "count"] == 0
    assert found["HR", "count"] == 1
    assert found[BUSY, "busy"] == 1


def test_without_workflow_nothing_tells_when_or_how_often_staff_measured():
    kinds = {column.kind for column in Features(EVERYTHING, "values").columns}
    assert kinds.isdisjoint({*WORKFLOW, "busy"})
    assert {column.kind for column in Features(EVERYTHING, "clock").columns} == {"clock", "last"}
