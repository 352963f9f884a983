"""PNG and JPEG -> Film, with every expected grey written out."""

import io

import numpy as np
import pytest
from PIL import Image

from cxr.errors import NotAFilm, TooLarge, UnreadableFilm
from cxr.films.film import Limits
from cxr.films.raster import read_raster
from tests.films.pngs import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, SIGNATURE, chunk, header, png
from tests.phantom import draw_phantom, phantom_jpeg, phantom_png

LIMITS = Limits()
PALETTE_OF_TWO = chunk(b"PLTE", bytes([0, 0, 0, 51, 51, 51]))


def save(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("file", "grey", "bits"),
    [
        (png(64, 64, 8, GREY, b"\x33"), 0.2, 8),
        (png(64, 64, 16, GREY, b"\xcc\xcc"), 0.8, 16),
        (png(64, 64, 4, GREY, b"\x33"), 0.2, 4),
        (png(64, 64, 8, RGB, b"\x33\x33\x33"), 0.2, 8),
        (png(64, 64, 16, RGB, b"\xcc\xcc" * 3), 0.8, 16),
        (png(64, 64, 8, RGB, b"\xff\x00\x00"), 76 / 255, 8),  # red: 0.299 x 255 = 76.2
        (png(64, 64, 8, RGB, b"\x00\x00\xff"), 29 / 255, 8),  # blue: 0.114 x 255 = 29.1
        (png(64, 64, 8, RGBA, b"\x33\x33\x33\xff"), 0.2, 8),
        (png(64, 64, 8, RGBA, b"\xff\xff\xff\x33"), 0.2, 8),  # over black
        (png(64, 64, 8, GREY_ALPHA, b"\xff\x00"), 0.0, 8),
        (png(64, 64, 16, RGBA, b"\xff\xff\xff\xff\xff\xff\x33\x33"), 0.2, 16),
        (png(64, 64, 8, PALETTE, b"\x01", PALETTE_OF_TWO), 0.2, 8),
        (png(64, 64, 1, PALETTE, b"\xff", PALETTE_OF_TWO), 0.2, 8),
        (png(64, 64, 8, PALETTE, b"\x01", PALETTE_OF_TWO + chunk(b"tRNS", b"\xff\x00")), 0.0, 8),
    ],
)
def test_png_of_every_kind_has_its_grey(file, grey, bits):
    film = read_raster(file, LIMITS)
    assert film.pixels.shape == (64, 64) and film.pixels.dtype == np.float32
    assert np.allclose(film.pixels, grey, atol=1e-6)
    assert (film.metadata.format, film.metadata.bits) == ("PNG", bits)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_png_phantom_comes_back_to_the_last_bit(bits, dtype):
    stored = np.round(draw_phantom(128, 128) * (2**bits - 1)).astype(dtype)
    assert np.array_equal(read_raster(phantom_png(128, bits), LIMITS).pixels, stored / np.float32(2**bits - 1))


@pytest.mark.parametrize(("maximum", "bits"), [(200, 8), (1000, 10), (4000, 12), (16383, 14), (16384, 16)])
def test_sixteen_bit_png_with_fewer_bits_in_use_is_scaled_by_these(maximum, bits):
    stored = np.zeros((64, 64), np.uint16)
    stored[0, 0] = maximum
    film = read_raster(save(Image.fromarray(stored), "PNG"), LIMITS)
    assert film.pixels[0, 0] == np.float32(maximum / (2**bits - 1))
    assert film.metadata.bits == bits
    assert film.metadata.notes == (
        () if bits == 16 else (f"{bits}-bit values in a 16-bit PNG (largest {maximum}), scaled by {2**bits - 1}",)
    )


def test_jpeg_is_close_to_the_film():
    film = read_raster(phantom_jpeg(128, quality=95), LIMITS)
    assert np.abs(film.pixels - draw_phantom(128, 128)).max() < 8 / 255
    assert (film.metadata.format, film.metadata.bits, film.metadata.notes) == ("JPEG", 8, ())


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 2}, {"optimize": True}])
def test_colour_jpeg_is_read_by_its_luminance(options):
    grey = np.full((64, 64, 3), 51, np.uint8)
    assert np.allclose(read_raster(save(Image.fromarray(grey), "JPEG", **options), LIMITS).pixels, 0.2)


def test_a_coloured_picture_says_so_in_its_notes():
    film = read_raster(png(64, 64, 8, RGB, b"\xff\x00\x00"), LIMITS)
    assert film.metadata.notes == ("colour image, read by its luminance",)


UPRIGHT = [[0, 1, 1], [0, 0, 0]]
AS_STORED = {  # EXIF 2.32, 4.6.4: what the camera stored for each orientation of the same scene
    1: [[0, 1, 1], [0, 0, 0]],
    2: [[1, 1, 0], [0, 0, 0]],
    3: [[0, 0, 0], [1, 1, 0]],
    4: [[0, 0, 0], [0, 1, 1]],
    5: [[0, 0], [1, 0], [1, 0]],
    6: [[1, 0], [1, 0], [0, 0]],
    7: [[0, 1], [0, 1], [0, 0]],
    8: [[0, 0], [0, 1], [0, 1]],
}


@pytest.mark.parametrize("orientation", AS_STORED)
def test_a_phone_picture_is_turned_upright(orientation):
    blocks = np.kron(np.array(AS_STORED[orientation], np.uint8), np.full((64, 64), 255, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    film = read_raster(save(Image.fromarray(blocks), "JPEG", quality=100, exif=exif), LIMITS)
    assert film.pixels[32::64, 32::64].round().tolist() == UPRIGHT


def test_a_damaged_exif_block_does_no_harm():
    exif = b"\xff\xe1\x00\x12Exif\0\0MM\0*\xff\xff\xff\xff\0\0"
    file = phantom_jpeg(64)
    assert np.array_equal(read_raster(file[:2] + exif + file[2:], LIMITS).pixels, read_raster(file, LIMITS).pixels)


@pytest.mark.parametrize("file", [phantom_png(64), phantom_png(64, 16), phantom_jpeg(64), phantom_jpeg(64, mode="RGB")])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.9, 0.995])
def test_a_truncated_file_is_refused_and_never_filled_in(file, part):
    with pytest.raises(UnreadableFilm, match=r"truncated or damaged|ends or is damaged"):
        read_raster(file[: int(len(file) * part)], LIMITS)


def test_a_truncated_progressive_jpeg_is_refused():
    file = save(Image.fromarray(np.uint8(draw_phantom(128, 128) * 255)), "JPEG", progressive=True)
    with pytest.raises(UnreadableFilm, match="truncated or damaged"):
        read_raster(file[: len(file) * 2 // 3], LIMITS)


def test_a_png_whose_rows_are_missing_is_refused():
    file = SIGNATURE + header(64, 64, 8, GREY) + png(64, 32, 8, GREY, b"\x33")[33:]
    with pytest.raises(UnreadableFilm, match="cannot be unpacked"):
        read_raster(file, LIMITS)


def test_a_png_with_a_flipped_bit_is_refused():
    file = bytearray(phantom_png(64))
    file[len(file) // 2] ^= 1
    with pytest.raises(UnreadableFilm, match="checksum is wrong"):
        read_raster(bytes(file), LIMITS)


def test_a_png_that_begins_with_its_pixels_is_refused():
    with pytest.raises(UnreadableFilm, match="header is not where it must be"):
        read_raster(SIGNATURE + chunk(b"IDAT", b"") + chunk(b"IEND", b""), LIMITS)


def test_cmyk_jpeg_is_refused_with_the_remedy():
    with pytest.raises(UnreadableFilm, match=r"CMYK colours. Save it in grey or RGB"):
        read_raster(save(Image.new("CMYK", (64, 64)), "JPEG"), LIMITS)


@pytest.mark.parametrize("make", [lambda side: png(side, side, 8, GREY, b"\x33"), phantom_jpeg])
def test_the_smallest_side_is_64_pixels(make):
    assert read_raster(make(64), LIMITS).pixels.shape == (64, 64)
    with pytest.raises(UnreadableFilm, match="63 x 63 pixels; the shortest side that can be read is 64 pixels"):
        read_raster(make(63), LIMITS)


def test_limits_are_those_that_are_given():
    with pytest.raises(TooLarge, match=r"128 x 128 pixels; the limit is 0.01 megapixels.*CXR_MAX_FILM_PIXELS"):
        read_raster(phantom_png(128), Limits(max_pixels=10_000))
    with pytest.raises(TooLarge, match=r"the limit is 0.00390625 MiB.*CXR_MAX_FILM_BYTES"):
        read_raster(phantom_png(128), Limits(max_bytes=4096))
    with pytest.raises(TooLarge, match=r"unpacks to 0 MiB.*CXR_MAX_INFLATED_BYTES"):
        read_raster(png(128, 128, 16, RGBA, b"\0" * 8), Limits(max_inflated_bytes=100_000))


def test_other_bytes_are_no_raster():
    with pytest.raises(NotAFilm, match="Send the film as PNG, JPEG or DICOM"):
        read_raster(b"GIF89a", LIMITS)
