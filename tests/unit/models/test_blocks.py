from __future__ import annotations

import numpy as np
import pytest

from models.blocks import BLOCK, in_blocks, position_matters


@pytest.mark.parametrize("n", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 1000])
def test_the_function_only_ever_sees_full_blocks_and_the_filling_is_cut_off(n):
    sizes = set()

    def double(values):
        sizes.add(len(values))
        return (values * 2, values[:, 0] + 1)

    values = np.arange(2.0 * n).reshape(n, 2)
    doubled, more = in_blocks(double, (values,))
    assert sizes == {BLOCK}
    assert np.array_equal(doubled, values * 2)
    assert np.array_equal(more, values[:, 0] + 1)


def test_rows_are_filled_up_with_zeros_whatever_the_others_are():
    seen = []
    in_blocks(lambda values: (seen.append(values.copy()) or values,), (np.full((3, 2), 7.0),))
    assert (seen[0][3:] == 0).all()


def test_a_function_that_looks_at_the_place_of_a_row_is_found_out():
    place = np.arange(BLOCK, dtype=np.float32)
    assert position_matters(lambda values: (values[:, 0] + place * 1e-7,), [np.ones(1)])
    assert not position_matters(lambda values: (values * 2,), [np.ones(1)])


def test_one_place_that_differs_is_enough_to_be_found_out():
    def wrong(values):
        result = values.copy()
        result[BLOCK - 1] = np.nextafter(result[BLOCK - 1], 2)
        return (values, result)

    assert position_matters(wrong, [np.ones(1)])
