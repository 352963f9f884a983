"""Damaged bytes of real files: a film or an error of the family comes out, and never anything else."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr.errors import CxrError
from cxr.films.read import read_film
from tests.films.encoders import FRAME_ENCODERS, encode
from tests.phantom import phantom_dataset, phantom_dicom, phantom_jpeg, phantom_png

FILES = {
    "8-bit PNG": phantom_png(64),
    "16-bit PNG": phantom_png(64, 16),
    "JPEG": phantom_jpeg(64, mode="RGB"),
    "DICOM": phantom_dicom(64, 64),
    "deflated DICOM": encode(phantom_dataset(64, 64), "deflated, pydicom"),
} | {name: encode(phantom_dataset(64, 64), name) for name in FRAME_ENCODERS if "JPEG-LS" not in name}
# A flipped bit can keep the JPEG-LS decoder busy until it is ended after five seconds: not here.

damages = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["set", "delete", "insert"]),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=8,
)


def damage(file, changes, kept):
    """`file` with each change made at its place, then cut to a part of its length."""
    data = bytearray(file)
    for place, kind, new in changes:
        at = int(place * len(data))
        data[at : at + (0 if kind == "insert" else len(new))] = b"" if kind == "delete" else new
    return bytes(data[: int(kept * len(data)) + 1])


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(changes=damages, early=st.booleans(), kept=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.3]))
def test_damaged_files_give_a_film_or_an_error_of_the_family(name, changes, early, kept):
    file = FILES[name]
    if early:  # most of what can go wrong stands in the first kilobyte
        changes = [(place * 1000 / len(file), kind, new) for place, kind, new in changes]
    with contextlib.suppress(CxrError):
        film = read_film(damage(file, changes, kept))
        assert film.pixels.dtype == np.float32 and film.pixels.ndim == 2
        assert film.pixels.min() >= 0 and film.pixels.max() <= 1


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=400))
def test_any_bytes_at_all_are_an_error_of_the_family(data):
    with pytest.raises(CxrError):
        read_film(data)
