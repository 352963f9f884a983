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
from tests.phantom import phantom_dicom, phantom_png
from tests.reading.tiny import tiny_info, tiny_model, without_calibration, write_model

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


@pytest.fixture
def children(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "children.onnx", "pneumonia3", [0.0, 2.0, 1.0], [0.0, 2.0, 3.0])


def test_the_task_chooses_the_model_and_the_columns(
    film: Path, children: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_MODEL", str(children))
    columns = {"pneumonia3": ["bacterial", "viral", "normal"], "pneumonia": ["pneumonia"], "chestxray14": CHESTXRAY14}
    for task, labels in columns.items():
        out = tmp_path / f"{task}.csv"
        assert main(["predict", str(film), "--task", task, "--csv", str(out)]) == 0
        (row,) = _rows(out)
        assert list(row) == ["film", "task", "model", *labels, "error"]
        assert row["task"] == task
    assert main(["predict", str(film), "--csv", str(tmp_path / "default.csv")]) == 0
    (row,) = _rows(tmp_path / "default.csv")
    assert float(row["viral"]) == pytest.approx(0.6652, abs=1e-3)


def test_a_named_model_is_read_with_alone(film: Path, children: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(film), "--model", str(children), "--task", "chestxray14"]) == 1
    assert capsys.readouterr().err.endswith("or choose one of: pneumonia3, pneumonia.\n")


def test_of_classes_the_most_probable_is_said_and_drawn(
    film: Path, children: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlays = tmp_path / "overlays"
    assert main(["predict", str(film), "--model", str(children), "--overlays", str(overlays)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["MOST", "PROBABLE", "Viral", "66.5%"]
    assert lines[2].split() == ["Normal", "24.5%"]
    assert "operating point" not in "".join(lines)
    assert [file.name for file in overlays.iterdir()] == ["0001_film_viral.png"]


def test_a_healthy_class_is_no_alarm(film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model(tmp_path / "healthy.onnx", "covid3", [0.0, 0.0, 9.0])
    assert main(["predict", str(film), "--model", str(model), "--overlays", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["most", "probable", "Normal"]
    assert list((tmp_path / "none").iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--task", "covid4"],
            "no model of the task 'covid4' here; give one with --model or CXR_MODEL, or choose one of: ",
        ),
        (["--csv", "/nowhere/out.csv"], "cannot be written"),
        (["--model", "absent.onnx"], "model file 'absent.onnx' cannot be opened (No such file or directory); give"),
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


def test_a_healthy_label_above_is_not_called_no_finding_above(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "own.onnx", "chexpert14", [3.0, *[-9.0] * 13])
    assert main(["predict", str(film), "--model", str(model)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "  Only “No finding” above its operating point."


def test_a_label_that_could_not_be_calibrated_is_printed_as_such(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = without_calibration(tiny_info("chestxray8"), "Mass")
    model = write_model(tmp_path / "own.onnx", info, [9.0] * 8, [0.0] * 8)
    assert main(["predict", str(film), "--model", str(model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  7 of 7 findings above their operating points."
    assert " ".join(lines[9].split()) == "- Mass 100.0% (not calibrated, no operating point)"


def test_the_two_doors_answer_alike(film: Path) -> None:
    doors = ["predictions.py", str(film)], ["-m", "cxr", "predict", str(film)]
    answers = [subprocess.run([sys.executable, *door], cwd=ROOT, capture_output=True, text=True) for door in doors]
    assert answers[0].stdout == answers[1].stdout != ""
    assert [answer.returncode for answer in answers] == [0, 0]


def test_all_real_films_are_read_but_the_one_that_shows_as_a_negative(test_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert main(["predict", str(test_data / "films"), "--csv", str(out)]) == 1
    rows = _rows(out)
    assert [Path(row["film"]).name for row in rows if row["error"]] == ["monochrome1_tag.dcm"]
    assert len(rows) == 23


def test_a_refused_film_is_a_row_without_probabilities_unless_it_is_read_anyway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "child.dcm").write_bytes(phantom_dicom(256, 256, PatientAge="004Y"))
    out = tmp_path / "out.csv"
    assert main(["predict", str(tmp_path / "child.dcm"), "--csv", str(out)]) == 1
    (refused,) = _rows(out)
    assert refused["error"].startswith("Refused: The patient is younger") and refused["Mass"] == ""
    assert main(["predict", str(tmp_path / "child.dcm"), "--csv", str(out), "--anyway"]) == 0
    (anyway,) = _rows(out)
    assert anyway["error"].startswith("Refused, read anyway: The patient is younger") and float(anyway["Mass"]) > 0
    assert "READ ANYWAY: The patient is younger" in capsys.readouterr().out


def test_json_of_a_refused_film_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lateral.dcm").write_bytes(phantom_dicom(256, 256, ViewPosition="LL"))
    assert main(["predict", str(tmp_path / "lateral.dcm"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["findings"], [reason["code"] for reason in told["check"]["reasons"]]) == ([], ["other_view"])
