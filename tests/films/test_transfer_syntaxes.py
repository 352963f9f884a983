"""One film in every transfer syntax: the pixels that come out are the same, and they are known."""

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate

from cxr.errors import UnreadableFilm
from cxr.films.dicom import read_dicom
from cxr.films.film import Limits
from cxr.films.pixeldata import CODECS, NATIVE
from tests.films.encoders import (
    DCMTK,
    FRAME_ENCODERS,
    LOSSY,
    NEAR,
    PYDICOM,
    encapsulated,
    encode,
    run_dcmtk,
    stored_values,
)
from tests.phantom import dicom_dataset, draw_phantom, to_bytes

LIMITS = Limits()
ENCODERS = [*PYDICOM, *DCMTK, *FRAME_ENCODERS]
SYNTAXES = (
    {name: str(uid) for name, uid in PYDICOM.items()}
    | {name: syntax for name, (syntax, _) in DCMTK.items()}
    | {name: encoder.syntax for name, encoder in FRAME_ENCODERS.items()}
)
ORDERS = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")  # T.800 Table A.16
WAVELETS = ("9/7 irreversible", "5/3 reversible")  # Table A.20
# These take unsigned values only; dcmtk writes signed films in the same transfer syntaxes.
UNSIGNED_ENCODERS = {"JPEG lossless, imagecodecs", "JPEG-LS, imagecodecs", "JPEG-LS near-lossless, imagecodecs"}
# Stored value and grey of the first pixels. 12 bits: window centre 2048, width 2048, LINEAR of PS3.3 C.11.2.1.2.1.
KNOWN = {
    12: ([0, 1024, 1536, 2048, 3071, 4095], [0.0, 0.0, 0.2501221, 0.5002443, 1.0, 1.0]),
    16: ([0, 16384, 24576, 32768, 49151, 65535], [0.0, 0.0, 0.2500076, 0.5000153, 1.0, 1.0]),
}


def phantom(bits, offset=0, **elements):
    """Stored phantom with the known values in its first row, window over the middle half of the range."""
    stored = np.round(draw_phantom(96, 80) * (2**bits - 1)).astype(np.int64)
    stored[0, :6] = KNOWN[bits][0]
    stored = (stored + offset).astype(np.int16 if offset else np.uint16)
    window = {"WindowCenter": 2 ** (bits - 1) + offset, "WindowWidth": 2 ** (bits - 1)}
    return dicom_dataset(stored, bits, **window, **elements)


def expected(dataset):
    centre, width = dataset.WindowCenter, dataset.WindowWidth
    stored = stored_values(dataset).astype(np.float64)
    return np.clip((stored - (centre - 0.5)) / (width - 1) + 0.5, 0, 1).astype(np.float32)


def tolerance(encoder, dataset):
    """In grey: the window is LINEAR, and each step of a stored value is 1 / (width - 1)."""
    stored = FRAME_ENCODERS[encoder].tolerance if encoder in FRAME_ENCODERS else 0
    return stored / (dataset.WindowWidth - 1)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name not in LOSSY])
def test_a_film_has_the_same_pixels_in_every_lossless_transfer_syntax(encoder, bits):
    dataset = phantom(bits)
    film = read_dicom(encode(dataset, encoder), LIMITS)
    assert np.allclose(film.pixels[0, :6], KNOWN[bits][1], atol=1e-7)
    assert np.array_equal(film.pixels, expected(dataset))
    assert film.metadata.transfer_syntax == SYNTAXES[encoder]


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("encoder", LOSSY)
def test_a_film_differs_in_every_lossy_transfer_syntax_by_no_more_than_was_allowed(encoder, bits):
    dataset = phantom(bits)
    film = read_dicom(encode(dataset, encoder), LIMITS)
    off = np.abs(film.pixels - expected(dataset))
    assert 0 < off.max() <= tolerance(encoder, dataset) + 1e-6
    assert film.metadata.transfer_syntax == SYNTAXES[encoder]


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name not in UNSIGNED_ENCODERS])
def test_signed_values_keep_their_sign_in_every_transfer_syntax(encoder):
    dataset = phantom(12, offset=-2048)
    film = read_dicom(encode(dataset, encoder), LIMITS)
    rounding = 1e-6 if encoder in LOSSY else 0
    assert np.abs(film.pixels - expected(dataset)).max() <= tolerance(encoder, dataset) + rounding


def coding_style(codestream):
    """Order of progression and wavelet of a JPEG 2000 codestream: marker COD, T.800 A.6.1."""
    start = codestream.index(b"\xff\x52")
    return ORDERS[codestream[start + 5]], WAVELETS[codestream[start + 13]]


@pytest.mark.parametrize(
    ("encoder", "order", "wavelet", "tile_part_lengths"),
    [
        ("JPEG 2000 lossless, imagecodecs", "LRCP", "5/3 reversible", False),
        ("JPEG 2000, imagecodecs", "RPCL", "9/7 irreversible", False),
        ("HTJ2K lossless, imagecodecs", "RPCL", "5/3 reversible", False),
        ("HTJ2K RPCL, imagecodecs", "RPCL", "5/3 reversible", True),
        ("HTJ2K, imagecodecs", "RPCL", "9/7 irreversible", False),
    ],
)
def test_each_jpeg_2000_here_is_of_the_kind_that_its_transfer_syntax_names(encoder, order, wavelet, tile_part_lengths):
    codestream = FRAME_ENCODERS[encoder].encode(stored_values(phantom(12)), 12)
    assert coding_style(codestream) == (order, wavelet)
    assert (b"\xff\x55" in codestream[:200]) == tile_part_lengths


def test_near_lossless_jpeg_ls_here_is_near_lossless():
    codestream = FRAME_ENCODERS["JPEG-LS near-lossless, imagecodecs"].encode(stored_values(phantom(12)), 12)
    assert codestream[codestream.index(b"\xff\xda") + 7] == NEAR  # T.87 C.2.3: after the one component of the scan


def test_every_transfer_syntax_that_is_read_is_tested_here():
    lossy_jpeg = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}  # below
    assert {*SYNTAXES.values(), *lossy_jpeg, "1.2.840.10008.1.2.1"} == {*CODECS, *NATIVE}


def test_explicit_little_endian_has_the_known_pixels():
    film = read_dicom(to_bytes(phantom(12)), LIMITS)
    assert np.allclose(film.pixels[0, :6], KNOWN[12][1], atol=1e-7)


def test_baseline_jpeg_is_within_two_greys_of_the_film():
    stored = np.round(draw_phantom(96, 80) * 255).astype(np.uint8)
    frame = imagecodecs.jpeg8_encode(stored, level=100)
    film = read_dicom(to_bytes(encapsulated(dicom_dataset(stored, 8), frame, "1.2.840.10008.1.2.4.50")), LIMITS)
    assert np.abs(film.pixels * 255 - stored).max() < 2.5


RED, RED_AS_YCBCR = (255, 0, 0), (76, 85, 255)  # JFIF 1.02: Y = 0.299 R, Cb = 128 - 0.1687 R, Cr = 128 + 0.5 R
BASELINE = "1.2.840.10008.1.2.4.50"


def colour_jpeg(samples, photometric, subsampling="444", change=bytes):
    """64 x 64 pixels of one colour, compressed as these samples without a colour transform or an Adobe segment."""
    stored = np.full((64, 64, 3), samples, np.uint8)
    frame = imagecodecs.jpeg8_encode(stored, 100, colorspace="YCBCR", outcolorspace="YCBCR", subsampling=subsampling)
    elements = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": photometric}
    dataset = dicom_dataset(stored, 8, Modality="OT", WindowCenter=None, WindowWidth=None, **elements)
    return to_bytes(encapsulated(dataset, change(frame), BASELINE))


def without_jfif(frame):
    return frame[:2] + frame[4 + int.from_bytes(frame[4:6], "big") :] if frame[2:4] == b"\xff\xe0" else frame


def with_letters_for_components(frame):
    """Component identifiers R, G, B, by which libjpeg knows RGB where there is no JFIF segment."""
    changed = bytearray(without_jfif(frame))
    for marker, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        start = changed.index(marker) + first
        changed[start : start + 3 * step : step] = b"RGB"
    return bytes(changed)


def with_adobe_transform(frame):
    """The segment APP14 says that the samples are YCbCr, whatever the DICOM header says."""
    return frame[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\x01" + without_jfif(frame)[2:]


@pytest.mark.parametrize(
    ("samples", "photometric", "subsampling", "change"),
    [
        (RED, "RGB", "444", bytes),
        (RED, "RGB", "444", without_jfif),
        (RED, "RGB", "444", with_letters_for_components),
        (RED_AS_YCBCR, "RGB", "444", with_adobe_transform),
        (RED_AS_YCBCR, "YBR_FULL_422", "422", bytes),
        (RED_AS_YCBCR, "YBR_FULL_422", "422", without_jfif),
        (RED_AS_YCBCR, "YBR_FULL", "444", bytes),
    ],
)
def test_a_red_baseline_jpeg_has_the_luminance_of_red(samples, photometric, subsampling, change):
    film = read_dicom(colour_jpeg(samples, photometric, subsampling, change), LIMITS)
    assert np.abs(film.pixels * 255 - 0.299 * 255).max() < 1.5
    assert film.metadata.notes == ("colour image, read by its luminance",)


def test_extended_jpeg_with_twelve_bits_is_what_dcmtk_decodes():
    extended = run_dcmtk(to_bytes(phantom(12)), ["dcmcjpeg", "+ee"])
    decoded = run_dcmtk(extended, ["dcmdjpeg"])
    assert np.array_equal(read_dicom(extended, LIMITS).pixels, read_dicom(decoded, LIMITS).pixels)


def test_eight_bits_in_big_endian_words_are_not_swapped():
    stored = np.arange(96 * 80, dtype=np.uint32).reshape(96, 80).astype(np.uint8)
    dataset = dicom_dataset(stored, 8)
    dataset["PixelData"].VR = "OW"
    film = read_dicom(run_dcmtk(to_bytes(dataset), ["dcmconv", "+tb"]), LIMITS)
    assert np.array_equal(film.pixels, stored / np.float32(255))


def test_a_frame_in_several_fragments_is_put_together():
    dataset = phantom(12)
    frame = FRAME_ENCODERS["JPEG-LS, imagecodecs"].encode(stored_values(dataset), 12)
    wrapped = encapsulated(dataset, frame, "1.2.840.10008.1.2.4.80")
    wrapped.PixelData = encapsulate([frame], fragments_per_frame=3)
    wrapped["PixelData"].is_undefined_length = True
    assert np.array_equal(read_dicom(to_bytes(wrapped), LIMITS).pixels, expected(dataset))


def test_jpeg_2000_in_a_jp2_box_is_read_too():
    dataset = phantom(12)
    boxed = imagecodecs.jpeg2k_encode(
        stored_values(dataset), codecformat="JP2", level=0, reversible=True, bitspersample=12
    )
    film = read_dicom(to_bytes(encapsulated(dataset, boxed, "1.2.840.10008.1.2.4.90")), LIMITS)
    assert np.array_equal(film.pixels, expected(dataset))


@pytest.mark.parametrize("encoder", FRAME_ENCODERS)
def test_a_frame_of_another_size_than_the_header_is_refused_before_it_is_decoded(encoder):
    other = FRAME_ENCODERS[encoder].encode(np.zeros((160, 160), np.uint16), 12)
    with pytest.raises(UnreadableFilm, match=r"160 x 160 pixels .* header says 80 x 96"):
        read_dicom(to_bytes(encapsulated(phantom(12), other, FRAME_ENCODERS[encoder].syntax)), LIMITS)


def test_an_unread_transfer_syntax_is_named_with_the_remedy():
    video = encapsulated(phantom(12), b"\0\0", "1.2.840.10008.1.2.4.100")
    with pytest.raises(UnreadableFilm, match=r"is 'MPEG2 .*', which is not read. Convert the film"):
        read_dicom(to_bytes(video), LIMITS)


def test_pixels_that_are_not_in_the_named_transfer_syntax_are_refused():
    file = to_bytes(phantom(12)).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1)
    with pytest.raises(UnreadableFilm, match=r"not in the Transfer Syntax .* 'RLE Lossless'"):
        read_dicom(file, LIMITS)
