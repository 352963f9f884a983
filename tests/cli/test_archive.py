"""`python -m cxr archive`, in processes of its own where it is killed."""

import csv
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from cxr.cli import main
from tests.phantom import phantom_jpeg, phantom_png
from tests.reading.tiny import tiny_model

ROOT = Path(__file__).resolve().parents[2]
FILMS = 400


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny.onnx", "pneumonia3", [0.0, 2.0, 1.0], [0.0, 2.0, 3.0])


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(phantom_jpeg(side=128 + number, seed=number))
    (folder / "4.jpg").write_bytes(phantom_jpeg(side=128)[:900])
    return folder


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_table_is_that_of_predict(films: Path, model: Path, tmp_path: Path) -> None:
    archived, predicted = tmp_path / "archived.csv", tmp_path / "predicted.csv"
    assert main(["archive", str(films), "--out", str(archived), "--model", str(model), "--workers", "1"]) == 0
    assert main(["predict", str(films), "--csv", str(predicted), "--model", str(model)]) == 1
    assert archived.read_bytes() == predicted.read_bytes()


def test_a_zip_is_read_up_to_the_limit_and_bad_films_are_counted(
    films: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "films.zip", tmp_path / "out.csv"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for film in ("4.jpg", "0.jpg"):
            packed.write(films / film, film)
        packed.writestr("bomb.png", bytes(65 * 2**20))
        packed.write(films / "1.jpg", "1.jpg")
    assert main(["archive", str(file), "--out", str(out), "--model", str(model), "--limit", "3"]) == 0
    rows = _rows(out)
    assert [row["film"] for row in rows] == [f"{file}/4.jpg", f"{file}/0.jpg", f"{file}/bomb.png"]
    assert "65.0 MiB; the limit is 64 MiB" in rows[2]["error"]
    assert "3 films, 2 of them not read" in capsys.readouterr().err


def test_the_film_check_refuses_here_too(films: Path, model: Path, tmp_path: Path) -> None:
    shutil.rmtree(films)
    films.mkdir()
    (films / "small.png").write_bytes(phantom_png(side=100))
    for flags, mark, answered in (([], "Refused: ", False), (["--anyway"], "Refused, read anyway: ", True)):
        out = tmp_path / f"{answered}.csv"
        assert main(["archive", str(films), "--out", str(out), "--model", str(model), *flags]) == 0
        (row,) = _rows(out)
        assert row["error"].startswith(mark)
        assert bool(row["viral"]) == answered


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["empty"], "There is no PNG, JPEG or DICOM film in "),
        (["absent"], "cannot be opened (No such file or directory); give a folder"),
        (["films/0.jpg"], "is one film"),
        (["films", "--out", "/proc/none/out.csv"], "cannot be written (No such file or directory)"),
        (["films", "--out", "out.xlsx"], "give a file that ends in .csv or .parquet"),
        (["films", "--workers", "0"], "--workers is 0; give a number from 1 up."),
        (["films", "--overlays", "films/overlays"], "lies in SOURCE"),
        (["films", "--task", "covid4"], "no model of the task 'covid4' here"),
    ],
)
def test_a_wrong_flag_ends_in_one_sentence_and_leaves_nothing(
    flags: list[str],
    sentence: str,
    films: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    assert main(["archive", "--out", "out.csv", "--model", str(model), *flags]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def _many(films: Path, folder: Path) -> Path:
    folder.mkdir()
    for number in range(FILMS):
        os.link(films / f"{number % 5}.jpg", folder / f"{number:03d}.jpg")
    return folder


def _start(source: Path, out: Path, model: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "cxr", "archive", str(source), "--out", str(out), "--model", str(model)]
    return subprocess.Popen([*command, "--workers", "2"], cwd=ROOT, stderr=subprocess.DEVNULL)


def _kill_at(process: "subprocess.Popen[bytes]", rows: Path, size: int, then_s: float) -> None:
    """With -9, a moment after the file of rows has grown to `size` bytes; not if it ends before."""
    while process.poll() is None and not (rows.exists() and rows.stat().st_size >= size):
        time.sleep(0.001)
    time.sleep(then_s)
    process.kill()
    process.wait()


def test_after_kills_at_random_moments_no_row_is_lost_and_none_is_there_twice(
    films: Path, model: Path, tmp_path: Path
) -> None:
    source, out, whole = _many(films, tmp_path / "many"), tmp_path / "out.csv", tmp_path / "whole.csv"
    assert main(["archive", str(source), "--out", str(whole), "--model", str(model)]) == 0
    chance, size = random.Random(7), whole.stat().st_size
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        rows = tmp_path / "out.csv.part" / "rows.csv"
        _kill_at(_start(source, out, model), rows, int(share * size), chance.uniform(0, 0.05))
    last = _start(source, out, model)
    assert last.wait() == 0 or out.exists()  # the last kill may have come after the end
    assert [row["film"] for row in _rows(out)] == [str(source / f"{number:03d}.jpg") for number in range(FILMS)]
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs the /proc of Linux")
def test_a_killed_run_leaves_no_process_behind(films: Path, model: Path, tmp_path: Path) -> None:
    process = _start(_many(films, tmp_path / "many"), tmp_path / "out.csv", model)
    rows = tmp_path / "out.csv.part" / "rows.csv"
    while process.poll() is None and not (rows.exists() and rows.stat().st_size > 1000):
        time.sleep(0.01)
    beside = [pid for file in Path(f"/proc/{process.pid}/task").glob("*/children") for pid in file.read_text().split()]
    assert len(beside) >= 2
    process.kill()
    process.wait()
    ends = time.monotonic() + 30
    while any(_is_running(pid) for pid in beside):
        assert time.monotonic() < ends
        time.sleep(0.05)


def _is_running(pid: str) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())  # empty once it has ended
    except OSError:
        return False
