"""Stored values -> grey, with every expected grey written out (PS3.3 C.11)."""

import numpy as np
import pytest

from cxr.films.grey import Lut, Rendering, Window, render

STORED = np.array([[0, 1, 2, 3]], np.uint8)


def greys(stored, **how):
    return render(np.asarray(stored), Rendering(**how)).tolist()


def test_without_a_window_eight_bits_are_taken_as_they_are():
    assert greys(STORED, bits=2) == [[0.0, np.float32(1 / 3), np.float32(2 / 3), 1.0]]
    assert greys(np.array([[51, 102]], np.uint8), bits=8) == [[np.float32(0.2), np.float32(0.4)]]


def test_without_a_window_more_bits_are_scaled_from_least_to_greatest():
    assert greys(np.array([[1000, 1500, 3000]], np.uint16), bits=12) == [[0.0, 0.25, 1.0]]


def test_padding_is_not_counted_when_a_film_is_scaled():
    stored = np.array([[0, 1000, 2000, 3000]], np.uint16)
    assert greys(stored, bits=12, padding=(0, 0)) == [[0.0, 0.0, 0.5, 1.0]]


def test_a_film_of_nothing_but_padding_is_scaled_all_the_same():
    assert greys(np.array([[7, 8]], np.uint16), bits=12, padding=(0, 100)) == [[0.0, 1.0]]


def test_a_film_of_one_value_is_black():
    assert greys(np.array([[700, 700]], np.uint16), bits=12) == [[0.0, 0.0]]


def test_linear_window_reaches_white_at_centre_minus_half_plus_half_of_width_minus_one():
    # Centre 2, width 3: x <= 2 - 0.5 - 1 is black, x > 2 - 0.5 + 1 is white, and (x - 1.5) / 2 + 0.5 between.
    assert greys(STORED, bits=2, voi=Window(2, 3)) == [[0.0, 0.25, 0.75, 1.0]]


def test_linear_window_of_width_one_is_a_threshold():
    assert greys(STORED, bits=2, voi=Window(2, 1)) == [[0.0, 0.0, 1.0, 1.0]]


def test_linear_exact_window_spans_centre_minus_and_plus_half_the_width():
    assert greys(STORED, bits=2, voi=Window(1.5, 2, "LINEAR_EXACT")) == [[0.0, 0.25, 0.75, 1.0]]


def test_sigmoid_window_is_half_at_its_centre():
    # 1 / (1 + exp(-4 (x - 2) / 4))
    expected = [[0.11920292, 0.26894143, 0.5, 0.7310586]]
    assert np.allclose(greys(STORED, bits=2, voi=Window(2, 4, "SIGMOID")), expected, atol=1e-7)


def test_a_very_narrow_sigmoid_does_not_overflow():
    assert greys(STORED, bits=2, voi=Window(1.5, 1e-9, "SIGMOID")) == [[0.0, 0.0, 1.0, 1.0]]


def test_rescale_comes_before_the_window():
    # 2 x - 1: -1, 1, 3, 5; window from 1 to 5.
    how = {"slope": 2.0, "intercept": -1.0, "voi": Window(3, 4, "LINEAR_EXACT")}
    assert greys(STORED, bits=2, **how) == [[0.0, 0.0, 0.5, 1.0]]


def test_modality_lut_comes_before_the_window_and_holds_its_end_values():
    lut = Lut(first=1, entries=np.array([10, 20], np.uint16), bits=16)
    assert greys(STORED, bits=2, modality_lut=lut, voi=Window(15, 10, "LINEAR_EXACT")) == [[0.0, 0.0, 1.0, 1.0]]


def test_voi_lut_is_scaled_by_the_bits_of_its_entries():
    lut = Lut(first=0, entries=np.array([0, 51, 102, 255], np.uint16), bits=8)
    assert greys(STORED, bits=2, voi=lut) == [[0.0, np.float32(0.2), np.float32(0.4), 1.0]]


def test_inversion_comes_last():
    assert greys(STORED, bits=2, voi=Window(1, 2, "LINEAR_EXACT"), inverted=True) == [[1.0, 0.5, 0.0, 0.0]]


def test_signed_values_are_folded_at_their_own_sign_bit():
    # 12 bits: FFFF and 0FFF are both -1, whether the sign was extended or not; 0800 is -2048.
    stored = np.array([[0x0800, 0xFFFF, 0x0FFF, 0x0000, 0x07FF]], np.uint16)
    expected = [[0.0, np.float32(2047 / 4095), np.float32(2047 / 4095), np.float32(2048 / 4095), 1.0]]
    assert greys(stored, bits=12, signed=True) == expected


def test_bits_above_the_stored_ones_are_masked_off():
    assert greys(np.array([[0xF000, 0xFFFF]], np.uint16), bits=12, voi=Window(2048, 4096)) == [[0.0, 1.0]]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_greys_are_float32_between_zero_and_one(function):
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    grey = render(stored, Rendering(bits=16, voi=Window(30000, 100, function)))
    assert grey.dtype == np.float32 and grey.min() >= 0.0 and grey.max() <= 1.0
