"""`python -m cxr predict`, with the shipped model."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr.cli import main
from cxr.films.read import read_film
from cxr.reading.reader import Reader
from cxr.tasks import CHESTXRAY14
from tests.phantom import phantom_png

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    file = tmp_path / "film.png"
    file.write_bytes(phantom_png(side=256))
    return file


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_findings_are_printed_with_the_disclaimer(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(film)]) == 0
    printed = capsys.readouterr().out
    assert "Pleural thickening" in printed
    assert "Not a medical device" in printed


def test_the_csv_has_a_column_for_each_label_and_a_row_for_each_film(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert main(["predict", str(film), str(film), "--csv", str(out)]) == 0
    first, second = _rows(out)
    assert list(first) == ["film", "task", "model", *CHESTXRAY14, "error"]
    assert (first["film"], first["task"], first["error"]) == (str(film), "chestxray14", "")
    assert first == second
    report = Reader.load().read(read_film(film))
    assert float(first["Hernia"]) == pytest.approx(report.finding("Hernia").probability, abs=1e-5)


def test_a_film_that_cannot_be_read_is_a_row_with_its_reason_and_no_stop(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(film.read_bytes()[:400])
    out = tmp_path / "out.csv"
    status = main(["predict", str(tmp_path / "broken.png"), str(tmp_path / "absent.png"), str(film), "--csv", str(out)])
    broken, absent, whole = _rows(out)
    assert status == 1
    assert broken["error"] and absent["error"] and not whole["error"]
    assert broken["Mass"] == "" and whole["Mass"] != ""
    assert "2 of 3 films could not be read." in capsys.readouterr().err


def test_json_is_one_object_a_line(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "note.png").write_text("no film")
    assert main(["predict", str(film), str(tmp_path / "note.png"), "--json"]) == 1
    read, refused = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert len(read["findings"]) == 14
    assert set(refused) == {"path", "error"}


def test_overlays_of_two_films_of_one_name_stay_apart(film: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / "films" / folder).mkdir(parents=True)
        (tmp_path / "films" / folder / "IM-1.png").write_bytes(film.read_bytes())
    (tmp_path / "films" / ".DS_Store").write_bytes(b"not a film")
    out = tmp_path / "overlays"
    assert main(["predict", str(tmp_path / "films"), "--overlays", str(out)]) == 0
    above = sum(f.above for f in Reader.load().read(read_film(film)).findings)
    assert len(list(out.glob("*_IM-1_*.png"))) == 2 * above


def test_a_name_that_is_not_utf_8_is_read_and_written(film: Path, tmp_path: Path) -> None:
    named = Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xf6ntgen.png"))
    named.write_bytes(film.read_bytes())
    out = tmp_path / "out.csv"
    assert main(["predict", str(named), "--csv", str(out)]) == 0
    assert _rows(out)[0]["film"].endswith("r\\xf6ntgen.png")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--task", "chestxray8"], "is of task chestxray14, not chestxray8"),
        (["--csv", "/nowhere/out.csv"], "cannot be written"),
        (["--model", "absent.onnx"], "There is no model file absent.onnx"),
    ],
)
def test_a_wrong_flag_ends_in_one_sentence(
    flags: list[str], sentence: str, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["predict", str(film), *flags])
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert status == 1


def test_a_folder_without_films_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tmp_path)]) == 1
    assert "no PNG, JPEG or DICOM file" in capsys.readouterr().err


def test_the_two_doors_answer_alike(film: Path) -> None:
    doors = ["predictions.py", str(film)], ["-m", "cxr", "predict", str(film)]
    answers = [subprocess.run([sys.executable, *door], cwd=ROOT, capture_output=True, text=True) for door in doors]
    assert answers[0].stdout == answers[1].stdout != ""
    assert [answer.returncode for answer in answers] == [0, 0]


def test_all_real_films_are_read(test_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert main(["predict", str(test_data / "films"), "--csv", str(out)]) == 0
    assert len(_rows(out)) == 23
