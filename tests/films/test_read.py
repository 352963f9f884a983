"""What is refused at the door, and the sentence that says why. HTTP statuses: 404, 413, 415, 422."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cxr.errors import CxrError, NotAFilm, NotFound, TooLarge, UnreadableFilm
from cxr.films.film import Limits
from cxr.films.read import read_film
from tests.phantom import dicom_dataset, phantom_dicom, phantom_jpeg, phantom_png, to_bytes

FILMS = {"PNG": phantom_png(64), "JPEG": phantom_jpeg(64), "DICOM": phantom_dicom(64, 64)}


def image(format):
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, format)
    return buffer.getvalue()


@pytest.mark.parametrize("format", FILMS)
@pytest.mark.parametrize("name", ["film.png", "film.dcm", "film.txt", "film", "снимок грудной клетки.png", "%00..film"])
def test_content_decides_and_not_the_name(tmp_path, format, name):
    (tmp_path / name).write_bytes(FILMS[format])
    assert read_film(tmp_path / name).metadata.format == format
    assert read_film(str(tmp_path / name)).metadata.format == format


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The file is empty"),
        (b"The film is normal.\n", "The file is a text"),
        ("Снимок в норме".encode(), "The file is a text"),
        (bytes(1000), "The file is of an unknown format"),
        (image("GIF"), "The file is a GIF image"),
        (image("BMP"), "The file is a BMP image"),
        (image("TIFF"), "The file is a TIFF image"),
        (image("WEBP"), "The file is a WebP image, a sound or a video"),
        (image("JPEG2000"), "The file is a JPEG 2000 image"),
        (b"%PDF-1.7", "The file is a PDF document"),
        (b"PK\x03\x04....", "The file is a ZIP archive"),
    ],
)
def test_what_cannot_hold_a_film_is_refused_with_415(data, message):
    with pytest.raises(NotAFilm, match=message + ". Send the film as PNG, JPEG or DICOM.") as refusal:
        read_film(data)
    assert refusal.value.status == 415


@pytest.mark.parametrize("modality", ["CT", "MR", "US", "NM", "PT", "MG", "XA", "SR", "PR", "KO", "SEG", "DOC"])
def test_another_modality_is_refused_by_name(modality):
    with pytest.raises(UnreadableFilm, match=rf"Modality \(0008,0060\) is '{modality}', not a radiograph"):
        read_film(phantom_dicom(64, 64, Modality=modality))


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "OT", "SC", ""])
def test_radiographs_and_secondary_captures_are_read(modality):
    assert read_film(phantom_dicom(64, 64, Modality=modality)).metadata.modality == (modality or None)


@pytest.mark.parametrize("part", ["ABDOMEN", "knee", "SKULL", "TSPINE", "HAND"])
def test_another_body_part_is_refused_by_name(part):
    with pytest.raises(UnreadableFilm, match=rf"Body Part Examined \(0018,0015\) is '{part.upper()}'"):
        read_film(phantom_dicom(64, 64, BodyPartExamined=part))


@pytest.mark.parametrize("part", ["CHEST", "THORAX", "Chest PA", "LUNG", "RIB", "", None])
def test_a_chest_or_an_empty_body_part_is_read(part):
    assert read_film(phantom_dicom(64, 64, BodyPartExamined=part)).pixels.shape == (64, 64)


@pytest.mark.parametrize(
    ("view", "name"), [("LL", "lateral"), ("RL", "lateral"), ("lateral", "lateral"), ("LLO", "oblique")]
)
def test_a_lateral_view_is_refused_with_the_remedy(view, name):
    with pytest.raises(UnreadableFilm, match=rf"is '{view.upper()}': the film is {name}. Send the frontal film"):
        read_film(phantom_dicom(64, 64, ViewPosition=view))


@pytest.mark.parametrize("view", ["PA", "AP", "LLD", "", None])
def test_a_frontal_or_an_unknown_view_is_read(view):
    assert read_film(phantom_dicom(64, 64, ViewPosition=view)).metadata.view_position == (view or None)


def test_a_dicomdir_is_refused_with_the_remedy():
    file = phantom_dicom(64, 64).replace(b"1.2.840.10008.5.1.4.1.1.1\0", b"1.2.840.10008.1.3.10\0\0\0\0\0\0", 1)
    with pytest.raises(UnreadableFilm, match=r"DICOMDIR, a list of files. Send the films that it lists"):
        read_film(file)


def test_dicom_without_pixels_is_refused():
    file = phantom_dicom(64, 64)
    with pytest.raises(UnreadableFilm, match=r"no Pixel Data \(7FE0,0010\)"):
        read_film(file[: file.index(b"\xe0\x7f\x10\x00")])


@pytest.mark.parametrize("part", [0.06, 0.2, 0.5, 0.999])
def test_a_truncated_dicom_is_refused(part):
    file = phantom_dicom(64, 64)
    with pytest.raises(UnreadableFilm, match=r"cut short|damaged|missing"):
        read_film(file[: int(len(file) * part)])


def test_one_pixel_is_refused():
    stored = np.zeros((1, 1), np.uint16)
    for data in (phantom_png(1), phantom_jpeg(1), to_bytes(dicom_dataset(stored, 12))):
        with pytest.raises(UnreadableFilm, match="1 x 1 pixels; the shortest side that can be read is 64 pixels"):
            read_film(data)


@pytest.mark.parametrize("format", FILMS)
def test_a_file_beyond_the_limit_is_refused_with_413(tmp_path, format):
    path = tmp_path / "film"
    path.write_bytes(FILMS[format])
    for source in (path, FILMS[format]):
        with pytest.raises(TooLarge, match=r"the limit is 0.000976562 MiB") as refusal:
            read_film(source, Limits(max_bytes=1024))
        assert refusal.value.status == 413


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "film.png"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # a hole of 10 GiB
    with pytest.raises(TooLarge, match=r"The file has 10240.0 MiB; the limit is 64 MiB"):
        read_film(path)


def test_a_missing_file_is_named_without_its_folder(tmp_path):
    with pytest.raises(NotFound, match=r"^There is no file 'no\.png'\. Check the name\.$"):
        read_film(tmp_path / "no.png")
    with pytest.raises(NotFound, match=r"^There is no file 'film\.png'"):
        read_film("../../etc/film.png")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 300 + ".png", "line\nbreak.png", ""])
def test_an_impossible_file_name_is_an_error_of_the_family(tmp_path, name):
    with pytest.raises(CxrError, match=r"file '") as refusal:
        read_film(os.path.join(tmp_path, name))  # noqa: PTH118 (pathlib would clean the name)
    assert str(tmp_path) not in str(refusal.value) and len(str(refusal.value)) < 200
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", ["caf\udce9.png", "\ud800.png", "caf\udce9/film.png"])
def test_a_file_name_that_is_not_utf8_is_an_error_of_the_family(tmp_path, name):
    with pytest.raises(CxrError, match=r"file '") as refusal:
        read_film(tmp_path / name)
    assert str(tmp_path) not in str(refusal.value) and str(refusal.value).isprintable()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are not UTF-8")
def test_a_film_whose_name_is_not_utf8_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    path.write_bytes(FILMS["PNG"])
    assert read_film(path).pixels.shape == (64, 64)


def test_a_folder_is_no_film(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for source in (folder, f"{folder}/"):
        with pytest.raises(NotAFilm, match=r"^The file 'study' is a folder\. Name a film in it\.$"):
            read_film(source)


def refuse(path):
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("method", ["is_dir", "is_file", "stat", "read_bytes"])
def test_a_file_without_permission_is_an_error_of_the_family(tmp_path, monkeypatch, method):
    (tmp_path / "film.png").write_bytes(FILMS["PNG"])
    monkeypatch.setattr(f"pathlib.Path.{method}", refuse)
    with pytest.raises(UnreadableFilm, match=r"^The file 'film\.png' cannot be opened\. [^/]*$"):
        read_film(tmp_path / "film.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("locked", ["film.png", "."])
def test_a_film_or_its_folder_without_permission_cannot_be_opened(tmp_path, locked):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "film.png").write_bytes(FILMS["PNG"])
    (folder / locked).chmod(0)
    try:
        with pytest.raises(UnreadableFilm, match=r"^The file 'film\.png' cannot be opened\. [^/]*$"):
            read_film(folder / "film.png")
    finally:
        (folder / locked).chmod(0o700)


HOSTILE = "\x1b[31m\x9b2J\n" + "X" * 300  # colours, clears the screen, begins a line, goes on and on


def refusal_of(file):
    with pytest.raises(UnreadableFilm) as refusal:
        read_film(file)
    return str(refusal.value)


def with_transfer_syntax(name, file):
    """The file with a Transfer Syntax UID (0002,0010) of any length, in a group 2 that says how long it is."""
    tag = file.index(b"\x02\x00\x10\x00UI")
    end = tag + 8 + int.from_bytes(file[tag + 6 : tag + 8], "little")
    value = name.encode("latin-1") + b"\0" * (len(name) % 2)
    length = int.from_bytes(file[140:144], "little") + len(value) - (end - tag - 8)
    element = file[tag : tag + 6] + len(value).to_bytes(2, "little") + value
    return file[:140] + length.to_bytes(4, "little") + file[144:tag] + element + file[end:]


@pytest.mark.parametrize(
    ("file", "element"),
    [
        (phantom_dicom(64, 64, Modality="CT" + HOSTILE), "Modality (0008,0060)"),
        (phantom_dicom(64, 64, PhotometricInterpretation="HSV" + HOSTILE), "Photometric Interpretation (0028,0004)"),
        (with_transfer_syntax("1.2" + HOSTILE, phantom_dicom(64, 64)), "Transfer Syntax (0002,0010)"),
    ],
    ids=["modality", "photometric interpretation", "unknown transfer syntax"],
)
def test_no_message_holds_a_value_of_the_header_unfiltered(file, element):
    message = refusal_of(file)
    assert element in message
    assert message.isprintable() and len(message) < 330


def test_no_note_holds_a_value_of_the_header_unfiltered():
    (note,) = read_film(phantom_dicom(64, 64, VOILUTFunction="GAMMA" + HOSTILE)).metadata.notes
    assert note.startswith("VOI LUT Function (0028,1056) is 'GAMMA?[31M") and note.endswith(
        "...', unknown: read as LINEAR"
    )
    assert note.isprintable() and len(note) < 150


def test_reading_films_never_imports_torch():
    command = "import cxr.films.read, cxr.films.prepare, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
