"""Film -> model input, and the box that leads back."""

import numpy as np
import pytest

from cxr.films.prepare import Box, fit_square, prepare
from cxr.tasks import Preprocessing


def test_a_square_film_of_the_right_size_is_left_as_it_is() -> None:
    pixels = np.random.default_rng(0).random((4, 4), np.float32)
    square, box = fit_square(pixels, 4, "pad")
    np.testing.assert_array_equal(square, pixels)
    assert box == Box(0, 0, 1, 1)


def test_a_tall_film_is_padded_left_and_right_with_black() -> None:
    square, box = fit_square(np.ones((8, 4), np.float32), 4, "pad")
    assert square.tolist() == [[0, 1, 1, 0]] * 4
    assert box == Box(left=0.25, top=0.0, right=0.75, bottom=1.0)


def test_a_wide_film_is_padded_above_and_below() -> None:
    square, box = fit_square(np.ones((4, 8), np.float32), 4, "pad")
    assert square.tolist() == [[0] * 4, [1] * 4, [1] * 4, [0] * 4]
    assert box == Box(left=0.0, top=0.25, right=1.0, bottom=0.75)


def test_a_squashed_film_fills_the_square() -> None:
    square, box = fit_square(np.ones((8, 4), np.float32), 4, "squash")
    assert square.tolist() == [[1] * 4] * 4
    assert box == Box()


def test_shrinking_averages_so_that_nothing_is_dropped() -> None:
    chequered = np.indices((8, 8)).sum(axis=0).astype(np.float32) % 2
    assert fit_square(chequered, 4, "pad")[0].tolist() == [[0.5] * 4] * 4


@pytest.mark.parametrize("shape", [(1000, 10), (10, 1000), (3, 3)])
def test_any_shape_gives_the_model_its_input(shape: tuple[int, int]) -> None:
    x, _ = prepare(np.ones(shape, np.float32), Preprocessing(size=32))
    assert x.shape == (1, 3, 32, 32)
    assert x.dtype == np.float32


def test_each_channel_is_normalised_by_its_own_mean_and_deviation() -> None:
    x, _ = prepare(np.full((2, 2), 0.5, np.float32), Preprocessing(size=2, mean=(0.5, 0.25), std=(1.0, 0.5)))
    assert x[0, :, 0, 0].tolist() == [0.0, 0.5]
