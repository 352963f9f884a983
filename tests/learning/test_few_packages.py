"""Training and testing on machines that have PyTorch and little else."""

import json
import subprocess
import sys
from pathlib import Path

from tests.phantom import phantom_dicom

ROOT = Path(__file__).resolve().parents[2]
# What serving, DICOM and exporting need; a Kaggle notebook has none of it.
ABSENT = [
    "pydicom", "gdcm", "pylibjpeg", "openjpeg", "rle", "jpeg_ls", "flask", "flask_wtf", "flask_talisman", "sqlalchemy",
    "gunicorn", "waitress", "openvino", "onnx", "onnxscript", "onnxruntime",
]  # fmt: skip
BLOCK = f"import sys\nfor name in {ABSENT!r}: sys.modules[name] = None\n"


def _run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", BLOCK + code], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_run_is_trained_and_tested_without_the_packages_of_the_desk(nih_folder: Path, tmp_path: Path) -> None:
    flags = ["--task", "chestxray8", "--arch", "binarycnn", "--size", "32", "--epochs", "1", "--val-share", "0.25"]
    places = ["--data", str(nih_folder), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    test = [str(tmp_path / "run"), "--data", str(nih_folder), "--out", str(tmp_path / "report")]
    done = _run(
        "from cxr.learning.commands import run_train, run_test\n"
        f"sys.exit(run_train({flags + places!r}) or run_test({test!r}))"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text())["films"] == 8


def test_a_dicom_film_without_pydicom_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "film.dcm").write_bytes(phantom_dicom(96, 96))
    done = _run(
        "from cxr.errors import CxrError\nfrom cxr.films.read import read_film\n"
        f"try: read_film({str(tmp_path / 'film.dcm')!r})\nexcept CxrError as error: print(error)"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("The film is DICOM, and the Python package pydicom that reads it is not installed.")
