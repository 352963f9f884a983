"""`python -m cxr calibrate`: from labelled films to a file that the desk reads with."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr.cli import main
from cxr.films.film import Film
from cxr.reading.exported import Exported
from cxr.reading.reader import Reader
from cxr.scaling import fit_platt
from tests.phantom import phantom_png
from tests.reading.tiny import tiny_model

FILMS = 40


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Forty films that differ in nothing but their names; what the model sees in each is told by `seen`."""
    (tmp_path / "films").mkdir()
    content = phantom_png(side=128)
    for n in range(FILMS):
        (tmp_path / "films" / f"{n}.png").write_bytes(content)
    return tmp_path / "films"


@pytest.fixture
def adults(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "adults.onnx", "chestxray8", [0.0] * 8)


@pytest.fixture
def children(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "children.onnx", "pneumonia3", [0.0] * 3)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Logits (40, 8) that the reader gives, film after film."""
    logits = np.random.default_rng(0).normal(size=(FILMS, 8)).astype(np.float32)
    rows = iter(logits)
    monkeypatch.setattr(Reader, "logits", lambda self, film: next(rows)[: len(self.info.labels)])
    return logits


def _table(folder: Path, header: str, rows: list[str]) -> Path:
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "labels.csv"


def _calibrate(table: Path, films: Path, model: Path, *more: str) -> int:
    out = films.parent / "site.json"
    return main(["calibrate", str(table), str(films), "--out", str(out), "--model", str(model), *more])


def _site(films: Path) -> dict[str, Any]:
    return dict(json.loads((films.parent / "site.json").read_text()))


def test_labels_of_enough_patients_are_calibrated_on_the_sites_films_and_the_others_keep_the_models(
    films: Path, adults: Path, seen: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    mass = (np.arange(FILMS) % 3 == 0).astype(float)
    rows = [f"{n}.png,p{n // 2},{mass[n]:.0f},{n % 2 if n < 12 else ''},60" for n in range(FILMS)]
    assert _calibrate(_table(films.parent, "film,patient,Mass,Nodule,age", rows), films, adults) == 0
    made, printed = _site(films), capsys.readouterr().out
    column = Reader.load(adults).info.labels.index("Mass")
    slope, intercept = fit_platt(seen[:, column], mass)
    assert made["platt"] == {"Mass": {"slope": pytest.approx(slope), "intercept": pytest.approx(intercept)}}
    assert (made["model"], made["sha256"], made["task"]) == (
        "tiny chestxray8",
        Exported.read(adults).sha256,
        "chestxray8",
    )
    assert {key: made["sample"][key] for key in ("films", "patients", "labels")} == {
        "films": 40, "patients": 20, "labels": ["Mass"],
    }  # fmt: skip
    assert set(made["operating_points"]) == {"youden", "sensitivity90", "specificity90"}
    assert made["operating_points"]["youden"]["Mass"]["positives"] == 14
    assert len(made["resampled"]["Mass"]) == 200
    assert made["figures"]["Mass"]["before"]["brier"] == pytest.approx(
        0.25 + np.mean(_sigmoid_excess(seen, column, mass)), abs=1e-4
    )
    assert made["figures"]["Mass"]["after"]["brier"] < made["figures"]["Mass"]["before"]["brier"]
    assert made["figures"]["Nodule"]["kept"].startswith("6 patients with it and 6 without, of 10 each")
    assert made["figures"]["Effusion"]["after"] == {"ece": None, "brier": None}
    assert "films: 40 of 40" in printed and "patients: 20" in printed
    assert "columns that are no label of this model: age" in printed
    assert "Nodule" in printed and "keeps the model's own calibration (6 patients with it" in printed


def _sigmoid_excess(seen: np.ndarray, column: int, truth: np.ndarray) -> np.ndarray:
    """Brier score of each film beyond that of a probability of one half."""
    return (1 / (1 + np.exp(-seen[:, column].astype(float))) - truth) ** 2 - 0.25


def test_calibrating_again_starts_from_the_models_own_calibration(
    films: Path, adults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = np.random.default_rng(0).normal(size=(FILMS, 8))
    table = _table(films.parent, "film,Mass", [f"{n}.png,{int(n % 4 == 0)}" for n in range(FILMS)])
    made = []
    for _ in range(2):
        rows = iter(logits)
        monkeypatch.setattr(Reader, "logits", lambda *_, rows=rows: next(rows))
        assert _calibrate(table, films, adults) == 0
        made.append(_site(films))
        monkeypatch.setenv("CXR_CALIBRATION", str(films.parent / "site.json"))
    assert made[0]["figures"] == made[1]["figures"]


@pytest.mark.usefixtures("seen")
def test_predict_reads_with_the_calibration_that_was_written_and_says_so(
    films: Path, adults: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{n}.png,{int(n % 4 == 0)}" for n in range(FILMS)]
    assert _calibrate(_table(films.parent, "film,Mass", rows), films, adults) == 0
    assert "patients: unknown; each film counts as one" in capsys.readouterr().out
    monkeypatch.setenv("CXR_CALIBRATION", str(films.parent / "site.json"))
    assert main(["predict", str(films / "0.png"), "--model", str(adults), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    platt = _site(films)["platt"]["Mass"]
    (mass,) = [f for f in report["findings"] if f["label"] == "Mass"]
    assert mass["probability"] == pytest.approx(1 / (1 + np.exp(-platt["intercept"])))
    assert mass["interval"][0] < mass["probability"] < mass["interval"][1]
    assert report["model"]["calibration"]["films"] == 40
    assert main(["predict", str(films / "0.png"), "--model", str(adults)]) == 0
    printed = capsys.readouterr().out
    assert "calibrated on 40 films of this site" in printed
    assert f"({mass['interval'][0]:.1%} to {mass['interval'][1]:.1%})" in printed


def test_films_that_cannot_be_read_are_named_and_left_out(
    films: Path, adults: Path, seen: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    (films / "3.png").write_text("no film")
    rows = [f"{n}.png,{n % 2}" for n in range(FILMS)]
    assert _calibrate(_table(films.parent, "film,Mass", rows), films, adults) == 0
    said = capsys.readouterr()
    assert "left out: " in said.err and "3.png" in said.err
    assert "films: 39 of 40" in said.out
    assert _site(films)["sample"]["films"] == 39


def test_classes_share_a_slope_and_the_more_frequent_one_gets_the_larger_intercept(
    films: Path, children: Path, seen: np.ndarray
) -> None:
    rows = [f"{n}.png,{int(n % 4 == 0)},{int(n % 4 == 1)},{int(n % 4 > 1)}" for n in range(FILMS)]
    table = _table(films.parent, "film,bacterial,viral,normal", rows)
    assert _calibrate(table, films, children) == 0
    platt = _site(films)["platt"]
    assert platt["normal"]["intercept"] > platt["viral"]["intercept"]
    assert len({p["slope"] for p in platt.values()}) == 1


def test_a_class_of_few_patients_stops_the_calibration_of_all(
    films: Path, children: Path, seen: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{n}.png,{int(n < 3)},{int(3 <= n < 20)},{int(n >= 20)}" for n in range(FILMS)]
    assert _calibrate(_table(films.parent, "film,bacterial,viral,normal", rows), films, children) == 1
    error = capsys.readouterr().err
    assert "bacterial: 3 patients with it and 37 without" in error
    assert "viral: calibrated together with bacterial" in error
    assert error.count("\n") == 1
    assert not (films.parent / "site.json").exists()


def test_a_derived_task_is_calibrated_on_its_own_log_odds(films: Path, children: Path, seen: np.ndarray) -> None:
    rows = [f"{n}.png,{n % 2}" for n in range(FILMS)]
    assert _calibrate(_table(films.parent, "film,pneumonia", rows), films, children, "--task", "pneumonia") == 0
    assert _site(films)["task"] == "pneumonia"
    assert list(_site(films)["platt"]) == ["pneumonia"]


@pytest.mark.parametrize("out", ["absent/site.json", "."])
def test_an_out_that_cannot_be_written_is_refused_before_any_film_is_read(
    out: str, films: Path, adults: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: Reader, film: Film) -> None:
        raise AssertionError

    monkeypatch.setattr(Reader, "logits", read)
    table = _table(films.parent, "film,Mass", ["0.png,1"])
    flags = ["--out", str(films.parent / out), "--model", str(adults)]
    assert main(["calibrate", str(table), str(films), *flags]) == 1
    assert "cannot be written; give --out a file in a folder that is there" in capsys.readouterr().err


def test_nothing_is_calibrated_where_every_label_has_too_few_films(
    films: Path, adults: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _calibrate(_table(films.parent, "film,Mass", ["0.png,1", "1.png,0"]), films, adults) == 1
    assert "Nothing can be calibrated on these films; label more of them." in capsys.readouterr().err


def test_a_label_that_contradicts_the_model_keeps_the_models_own_calibration(
    films: Path, adults: Path, seen: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    mass, nodule = (Reader.load(adults).info.labels.index(label) for label in ("Mass", "Nodule"))
    rows = [f"{n}.png,{int(seen[n, mass] < 0)},{int(seen[n, nodule] > 0.2)}" for n in range(FILMS)]
    assert _calibrate(_table(films.parent, "film,Mass,Nodule", rows), films, adults) == 0
    made, printed = _site(films), capsys.readouterr().out
    assert "keeps the model's own calibration (these films contradict the model" in printed
    assert made["figures"]["Mass"]["kept"].startswith("these films contradict the model")
    parts = [made["platt"], made["resampled"], *made["operating_points"].values()]
    assert [list(part) for part in parts] == [["Nodule"]] * 5
    assert made["sample"]["labels"] == ["Nodule"]


@pytest.mark.parametrize(("task", "header"), [("chestxray8", "Mass"), ("pneumonia3", "bacterial,viral,normal")])
def test_films_that_contradict_the_model_in_every_label_are_refused(
    task: str, header: str, films: Path, seen: np.ndarray, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("cxr.cli.calibrate.FEWEST_PATIENTS", 5)
    model = tiny_model(films.parent / "model.onnx", task, [0.0] * (8 if task == "chestxray8" else 3))
    mass = Reader.load(model).info.labels.index("Mass") if task == "chestxray8" else 0
    one = [str(int(seen[n, mass] < 0)) for n in range(FILMS)]
    least = [",".join(str(int(k == seen[n, :3].argmin())) for k in range(3)) for n in range(FILMS)]
    rows = [f"{n}.png,{(one if task == 'chestxray8' else least)[n]}" for n in range(FILMS)]
    assert _calibrate(_table(films.parent, f"film,{header}", rows), films, model) == 1
    assert "look at the labels" in (error := capsys.readouterr().err)
    assert "these films contradict the model" in error and error.count("\n") == 1
    assert not (films.parent / "site.json").exists()


def test_films_with_a_zero_but_no_class_are_left_out_counted_and_named(
    films: Path, children: Path, seen: np.ndarray, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr.cli.calibrate.FEWEST_PATIENTS", 5)
    rows = [f"{n}.png,{','.join(str(int(k == seen[n, :3].argmax())) for k in range(3))}" for n in range(36)]
    rows += [f"{n}.png,0,," for n in range(36, FILMS)]
    assert _calibrate(_table(films.parent, "film,bacterial,viral,normal", rows), films, children) == 0
    printed = capsys.readouterr().out
    assert "films: 36 of 40" in printed
    assert "whose class is not known, left out: 4 (36.png, 37.png, 38.png, 39.png)" in printed


def test_a_name_too_long_for_a_file_is_refused_with_its_line(
    films: Path, adults: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _calibrate(_table(films.parent, "film,Mass", [f"{'long' * 100}.png,1"]), films, adults) == 1
    assert "line 2" in capsys.readouterr().err


def test_a_csv_that_labels_no_film_is_refused(films: Path, adults: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _calibrate(_table(films.parent, "film,Mass", ["0.png,"]), films, adults) == 1
    assert "None of the films has a label and can be read" in capsys.readouterr().err


def test_the_command_imports_neither_torch_nor_pandas() -> None:
    """All that the command imports when it is called, where torch and pandas cannot be imported."""
    modules = "cxr.learning.calibration, cxr.reading.labels, cxr.reading.readers, cxr.films.read"
    code = f"import sys; sys.modules['torch'] = sys.modules['pandas'] = None; import {modules}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
