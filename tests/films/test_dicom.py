"""DICOM header -> greys, metadata, identity; transfer syntaxes have a file of their own."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from cxr.errors import NotAFilm, TooLarge, UnreadableFilm
from cxr.films.dicom import read_dicom
from cxr.films.film import Identity, Limits
from tests.phantom import dicom_dataset, phantom_dataset, phantom_dicom, to_bytes

LIMITS = Limits()
NO_WINDOW = {"WindowCenter": None, "WindowWidth": None}


def ramp(bits=12, **elements):
    """64 x 64 film whose first pixels are 0, 1, 2, ..."""
    return dicom_dataset(np.arange(4096, dtype=np.uint16).reshape(64, 64), bits, **elements)


def first_greys(dataset, count=4):
    return read_dicom(to_bytes(dataset), LIMITS).pixels[0, :count].tolist()


def notes(dataset):
    return read_dicom(to_bytes(dataset), LIMITS).metadata.notes


def lut(descriptor, data, vr="US"):
    item = Dataset()
    item.LUTDescriptor = descriptor
    item["LUTDescriptor"].VR = "US"
    item.LUTData = data
    item["LUTData"].VR = vr
    return [item]


def test_window_of_the_header_is_applied():
    assert first_greys(ramp(WindowCenter=2, WindowWidth=3)) == [0.0, 0.25, 0.75, 1.0]


def test_first_of_several_windows_is_used_and_noted():
    dataset = ramp(WindowCenter=[2, 2000], WindowWidth=[3, 4000])
    assert first_greys(dataset) == [0.0, 0.25, 0.75, 1.0]
    assert notes(dataset) == ("first of 2 windows used",)


@pytest.mark.parametrize(
    ("function", "greys"),
    [
        ("LINEAR", [0.0, 0.25, 0.75, 1.0]),
        ("LINEAR_EXACT", [0.0, 1 / 6, 0.5, 5 / 6]),
        ("SIGMOID", [0.0650, 0.2086, 0.5, 0.7914]),
    ],
)
def test_voi_lut_function_of_the_header_is_applied(function, greys):
    dataset = ramp(WindowCenter=2, WindowWidth=3, VOILUTFunction=function)
    assert np.allclose(first_greys(dataset), greys, atol=1e-4)
    assert notes(dataset) == ()


def test_unknown_voi_lut_function_is_read_as_linear_and_noted():
    dataset = ramp(WindowCenter=2, WindowWidth=3, VOILUTFunction="GAMMA")
    assert first_greys(dataset) == [0.0, 0.25, 0.75, 1.0]
    assert notes(dataset) == ("VOI LUT Function (0028,1056) is 'GAMMA', unknown: read as LINEAR",)


@pytest.mark.parametrize("width", [0, -5, 0.5])
def test_a_window_without_width_is_no_window_and_noted(width):
    dataset = ramp(WindowCenter=2, WindowWidth=width)
    assert first_greys(dataset, 2) == [0.0, np.float32(1 / 4095)]
    assert notes(dataset)[0].startswith(f"Window Width (0028,1051) is {width:g}, no window")


def test_without_a_window_the_film_is_scaled_and_this_is_noted():
    dataset = ramp(bits=16, **NO_WINDOW)
    assert first_greys(dataset, 2) == [0.0, np.float32(1 / 4095)]
    assert notes(dataset) == ("no window in the header: scaled from the least to the greatest value",)


def test_padding_is_not_counted_without_a_window():
    dataset = ramp(PixelPaddingValue=0, PixelPaddingRangeLimit=95, **NO_WINDOW)
    assert read_dicom(to_bytes(dataset), LIMITS).pixels[1, 30:34].tolist() == [0.0, 0.0, 0.0, np.float32(1 / 3999)]


def test_rescale_is_applied_before_the_window():
    # 2 x - 4: -4, -2, 0, 2 in the window from -4 to 0.
    dataset = ramp(RescaleSlope=2, RescaleIntercept=-4, WindowCenter=-2, WindowWidth=4, VOILUTFunction="LINEAR_EXACT")
    assert first_greys(dataset) == [0.0, 0.5, 1.0, 1.0]


def test_a_missing_rescale_changes_nothing():
    dataset = ramp(WindowCenter=2, WindowWidth=3, RescaleSlope=None, RescaleIntercept=None)
    assert first_greys(dataset) == [0.0, 0.25, 0.75, 1.0]


def test_modality_lut_takes_the_place_of_rescale():
    dataset = ramp(WindowCenter=15, WindowWidth=10, VOILUTFunction="LINEAR_EXACT", RescaleSlope=7)
    dataset.ModalityLUTSequence = lut([4, 0, 16], [10, 15, 20, 25])
    assert first_greys(dataset) == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("descriptor", "data", "vr"),
    [
        ([4, 0, 8], [0, 51, 102, 255], "US"),
        ([4, 0, 8], bytes([0, 51, 102, 255]), "OW"),  # 8-bit entries packed in words
        ([4, 0, 8], bytes([0, 0, 51, 0, 102, 0, 255, 0]), "OW"),
        ([4, 0, 16], [0, 13107, 26214, 65535], "US"),
    ],
)
def test_voi_lut_of_the_header_is_applied(descriptor, data, vr):
    dataset = ramp(**NO_WINDOW)
    dataset.VOILUTSequence = lut(descriptor, data, vr)
    assert np.allclose(first_greys(dataset), [0.0, 0.2, 0.4, 1.0])
    assert notes(dataset) == ()


def test_a_voi_lut_with_65536_entries_says_0_of_them():
    dataset = ramp(**NO_WINDOW)
    dataset.VOILUTSequence = lut([0, 0, 16], np.arange(65536, dtype="<u2").tobytes(), "OW")
    assert first_greys(dataset, 2) == [0.0, np.float32(1 / 65535)]


def test_a_voi_lut_goes_before_a_window_and_this_is_noted():
    dataset = ramp(WindowCenter=2, WindowWidth=3)
    dataset.VOILUTSequence = lut([4, 0, 8], [255, 255, 255, 255])
    assert first_greys(dataset) == [1.0, 1.0, 1.0, 1.0]
    assert notes(dataset) == ("first VOI LUT used, of 1 and 1 windows",)


def test_a_lut_that_is_too_short_is_refused():
    dataset = ramp(**NO_WINDOW)
    dataset.VOILUTSequence = lut([4, 0, 8], [0, 255])
    with pytest.raises(UnreadableFilm, match=r"VOILUTSequence has 2 of 4 entries of 8 bits \(0028,3002\)"):
        read_dicom(to_bytes(dataset), LIMITS)


def test_luts_are_read_in_implicit_vr_where_their_type_is_not_written():
    dataset = ramp(WindowCenter=15, WindowWidth=10, VOILUTFunction="LINEAR_EXACT", PixelPaddingValue=0)
    dataset.ModalityLUTSequence = lut([4, 0, 16], [10, 15, 20, 25])
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert first_greys(dataset) == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "IDENTITY", False),
    ],
)
def test_presentation_lut_shape_decides_and_else_monochrome1(photometric, shape, inverted):
    elements = {"PresentationLUTShape": shape} if shape else {}
    dataset = ramp(WindowCenter=2, WindowWidth=3, PhotometricInterpretation=photometric, **elements)
    assert first_greys(dataset) == ([1.0, 0.75, 0.25, 0.0] if inverted else [0.0, 0.25, 0.75, 1.0])
    contradictory = photometric == "MONOCHROME1" and shape == "IDENTITY"
    assert notes(dataset) == (
        ("MONOCHROME1, but Presentation LUT Shape (2050,0020) is IDENTITY: not inverted",) if contradictory else ()
    )


def test_a_raw_detector_image_says_so_in_its_notes():
    dataset = ramp(PresentationIntentType="FOR PROCESSING")
    assert notes(dataset) == ("raw detector image: Presentation Intent Type (0008,0068) is FOR PROCESSING",)
    assert notes(ramp(PresentationIntentType="FOR PRESENTATION")) == ()


def test_first_of_several_frames_is_read_and_noted():
    frames = np.arange(2 * 4096, dtype=np.uint16).reshape(128, 64)
    dataset = dicom_dataset(frames, 16, Rows=64, NumberOfFrames=2, WindowCenter=2, WindowWidth=3)
    assert first_greys(dataset) == [0.0, 0.25, 0.75, 1.0]
    assert notes(dataset) == ("first of 2 frames",)


def colour(photometric, planar=0, values=(255, 0, 0)):
    stored = np.full((64, 64, 3), values, np.uint8)
    if planar:
        stored = np.ascontiguousarray(np.moveaxis(stored, 2, 0))
    elements = {"Rows": 64, "Columns": 64, "SamplesPerPixel": 3, "PlanarConfiguration": planar}
    return dicom_dataset(stored, 8, PhotometricInterpretation=photometric, Modality="OT", **elements)


@pytest.mark.parametrize("planar", [0, 1])
def test_a_secondary_capture_in_rgb_becomes_luminance(planar):
    assert first_greys(colour("RGB", planar), 1) == [np.float32(76 / 255)]  # 0.299 x 255 = 76.2
    assert notes(colour("RGB", planar)) == ("colour image, read by its luminance",)


def test_the_luminance_of_ybr_is_its_first_sample():
    assert first_greys(colour("YBR_FULL", values=(51, 128, 128)), 1) == [np.float32(0.2)]


def test_a_palette_is_looked_up():
    dataset = dicom_dataset(np.full((64, 64), 2, np.uint8), 8, PhotometricInterpretation="PALETTE COLOR", **NO_WINDOW)
    for name in ("Red", "Green", "Blue"):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [3, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", np.array([0, 1, 13107], "<u2").tobytes())
    assert first_greys(dataset, 1) == [np.float32(0.2)]


def test_a_pixel_in_the_high_bits_is_shifted_down():
    stored = (np.arange(4096, dtype=np.uint16) << 4).reshape(64, 64)
    assert first_greys(dicom_dataset(stored, 12, HighBit=15, WindowCenter=2, WindowWidth=3)) == [0.0, 0.25, 0.75, 1.0]


@pytest.mark.parametrize(
    ("age", "years"),
    [("045Y", 45.0), ("018M", 1.5), ("052W", 364 / 365.25), ("010D", 10 / 365.25), ("45", None), ("", None)],
)
def test_age_is_given_in_years(age, years):
    found = read_dicom(phantom_dicom(64, 64, PatientAge=age), LIMITS).metadata.age_years
    assert found == (None if years is None else pytest.approx(years))


@pytest.mark.parametrize(
    ("elements", "spacing", "calibrated"),
    [
        ({}, (0.143, 0.143), False),
        ({"ImagerPixelSpacing": None}, None, False),
        ({"PixelSpacing": [0.143, 0.143]}, (0.143, 0.143), False),
        ({"PixelSpacing": [0.13, 0.13]}, (0.13, 0.13), True),
        ({"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": None}, (0.1, 0.1), False),
        ({"PixelSpacing": [0.143, 0.143], "PixelSpacingCalibrationType": "FIDUCIAL"}, (0.143, 0.143), True),
        ({"ImagerPixelSpacing": [0, 0]}, None, False),
    ],
)
def test_pixel_spacing_says_whether_it_is_calibrated(elements, spacing, calibrated):
    metadata = read_dicom(phantom_dicom(64, 64, **elements), LIMITS).metadata
    assert (metadata.pixel_spacing_mm, metadata.pixel_spacing_calibrated) == (spacing, calibrated)


def test_metadata_describe_the_film():
    metadata = read_dicom(phantom_dicom(64, 64, 12), LIMITS).metadata
    described = (metadata.format, metadata.bits, metadata.modality, metadata.body_part, metadata.view_position)
    assert described == ("DICOM", 12, "CR", "CHEST", "PA")
    assert (metadata.age_years, metadata.sex, metadata.transfer_syntax) == (45.0, "F", "1.2.840.10008.1.2.1")


IDENTIFIERS = {
    "PatientID": "ID-4711",
    "PatientName": "Иванов^Пётр",
    "AccessionNumber": "ACC-4712",
    "StudyDate": "20210203",
    "StudyInstanceUID": "1.2.3.4713",
    "SeriesInstanceUID": "1.2.3.4714",
    "SOPInstanceUID": "1.2.3.4715",
}


def test_identifiers_are_in_the_identity_and_nowhere_else():
    film = read_dicom(phantom_dicom(64, 64, SpecificCharacterSet="ISO_IR 192", **IDENTIFIERS), LIMITS)
    assert film.identity == Identity(
        patient_id="ID-4711",
        patient_name="Иванов^Пётр",
        accession_number="ACC-4712",
        study_date="20210203",
        study_instance_uid="1.2.3.4713",
        series_instance_uid="1.2.3.4714",
        sop_instance_uid="1.2.3.4715",
    )
    assert not any(value in repr(film) for value in IDENTIFIERS.values())


def test_a_header_with_nothing_but_pixels_is_read():
    dataset = phantom_dataset(64, 64)
    for name in (
        "Modality",
        "PatientName",
        "PatientSex",
        "PatientAge",
        "BodyPartExamined",
        "ViewPosition",
        "StudyDate",
    ):
        delattr(dataset, name)
    metadata = read_dicom(to_bytes(dataset), LIMITS).metadata
    assert (metadata.modality, metadata.age_years, metadata.sex, metadata.view_position) == (None, None, None, None)


def test_a_dataset_without_preamble_is_read():
    file = phantom_dicom(64, 64)
    expected = read_dicom(file, LIMITS).pixels
    assert np.array_equal(read_dicom(file[132:], LIMITS).pixels, expected)
    bare = file[file.index(b"\x08\x00\x16\x00UI") :]
    assert np.array_equal(read_dicom(bare, LIMITS).pixels, expected)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PixelData": None}, r"no Pixel Data \(7FE0,0010\)"),
        ({"Rows": None}, r"Rows \(0028,0010\) is missing"),
        ({"Rows": 4000}, "has 8192 of 512000 bytes: the file was cut short"),
        ({"RescaleSlope": 0}, r"Rescale Slope \(0028,1053\) is 0"),
        ({"BitsAllocated": 32}, r"Bits Allocated \(0028,0100\) is 32; films have 8 or 16"),
        ({"BitsStored": 17}, r"Bits Stored \(0028,0101\) is 17"),
        ({"HighBit": 16}, r"High Bit \(0028,0102\) is 16"),
        ({"SamplesPerPixel": 3}, r"'MONOCHROME2' with 3 samples per pixel"),
        ({"PhotometricInterpretation": "HSV"}, r"Photometric Interpretation \(0028,0004\) is 'HSV'"),
        ({"Rows": 10, "Columns": 100}, "the shortest side that can be read is 64 pixels"),
    ],
)
def test_a_header_that_cannot_be_is_refused_by_name(elements, message):
    dataset = phantom_dataset(64, 64)
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    with pytest.raises(UnreadableFilm, match=message):
        read_dicom(to_bytes(dataset), LIMITS)


@pytest.mark.parametrize("text", [b"abcd", b"nan ", b"1e999 ", b"--12"])
def test_a_window_that_is_no_number_is_refused_by_name(text):
    file = phantom_dicom(64, 64).replace(b"4096.0", text.ljust(6), 1)
    with pytest.raises(UnreadableFilm, match=r"Window Width \(0028,1051\) holds no number"):
        read_dicom(file, LIMITS)


@pytest.mark.parametrize("frames", [1, 40_000])
def test_a_film_beyond_the_limits_is_refused_by_its_header(frames):
    size = 60_000 if frames == 1 else 64
    with pytest.raises(TooLarge, match=f"{size} x {size} pixels.*limit is 64 megapixels"):
        read_dicom(phantom_dicom(64, 64, Rows=size, Columns=size, NumberOfFrames=frames), LIMITS)


def test_what_is_no_dicom_is_not_a_film():
    with pytest.raises(NotAFilm, match="not a DICOM file"):
        read_dicom(b"x" * 1000, LIMITS)


def test_pydicom_warnings_stay_inside_and_filters_are_as_before():
    file = phantom_dicom(64, 64, SpecificCharacterSet="ISO_IR 192").replace(b"ISO_IR 192", b"ISO_IR 999", 1)
    with pytest.warns(UserWarning, match="Unknown encoding"):
        str(pydicom.dcmread(io.BytesIO(file)).PatientName)
    before = list(warnings.filters)
    assert read_dicom(file, LIMITS).identity.patient_name == "Phantom^Drawn"
    assert warnings.filters == before


def test_overlapping_readers_leave_the_warning_filters_as_they_were():
    before, file = list(warnings.filters), phantom_dicom(64, 64)
    with ThreadPoolExecutor(8) as readers:
        films = list(readers.map(lambda _: read_dicom(file, LIMITS), range(64)))
    assert len(films) == 64 and warnings.filters == before
