"""Films at full detail, where there are any: see CXR_TEST_DATA."""

import numpy as np
import pytest
from PIL import Image

from cxr.errors import UnreadableFilm
from cxr.films.read import read_film


@pytest.fixture(scope="module")
def films(test_data):
    folder = test_data / "films"
    if not folder.is_dir():
        pytest.skip("CXR_TEST_DATA has no folder films/")
    return folder


def test_every_film_of_the_folder_is_read(films):
    for path in sorted(films.iterdir()):
        film = read_film(path)
        assert film.pixels.dtype == np.float32 and min(film.pixels.shape) >= 500, path.name
        assert film.pixels.min() >= 0 and film.pixels.max() <= 1 and film.pixels.std() > 0.05, path.name
        assert film.metadata.notes == (), path.name


def test_pngs_have_the_pixels_that_pillow_reads(films):
    for path in sorted(films.glob("nih_*.png")):
        with Image.open(path) as image:
            expected = np.asarray(image.convert("L")) / np.float32(255)
        assert np.array_equal(read_film(path).pixels, expected), path.name


def test_monochrome1_shows_as_the_negative(films):
    (positive,) = films.glob("rsna_*.dcm")
    negative = read_film(films / "monochrome1_tag.dcm").pixels
    assert np.allclose(negative, 1 - read_film(positive).pixels, atol=1e-6)


def test_a_secondary_capture_has_its_metadata(films):
    (path,) = films.glob("rsna_*.dcm")
    film = read_film(path)
    metadata = film.metadata
    assert (metadata.modality, metadata.body_part, metadata.view_position, metadata.sex) == ("CR", "CHEST", "PA", "M")
    assert metadata.transfer_syntax == "1.2.840.10008.1.2.4.50"
    assert film.identity.patient_id and film.identity.patient_id not in repr(film)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_real_film_that_was_cut_short_is_refused(films, part):
    for path in sorted(films.iterdir()):
        data = path.read_bytes()
        with pytest.raises(UnreadableFilm):
            read_film(data[: int(part * len(data))])
