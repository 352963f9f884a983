"""The two doors: `python main.py` and `gunicorn main:app`."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from cxr.desk.app import ROOT

MAIN = [sys.executable, "main.py", "--port", "0"]
GUNICORN = [sys.executable, "-m", "gunicorn", "main:app", "--bind", "127.0.0.1:0"]


def _environment(folder: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    return {**kept, "CXR_INSTANCE_PATH": str(folder), **changes}


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "command", [[*MAIN, "--host", "localhost"], [*MAIN, "--host", "127.0.0.1"], [*GUNICORN, "--threads", "2"]]
)
def test_the_desk_opens_and_says_where(tmp_path: Path, command: list[str]) -> None:
    environment = _environment(tmp_path, CXR_SECRET_KEY="k", PYTHONUNBUFFERED="1")
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as desk:
        assert desk.stdout
        try:
            address = next(found[0] for line in desk.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            with urlopen(f"{address}/readyz", timeout=30) as answer:
                assert answer.read() == b'{"status":"ready"}\n'
        finally:
            desk.terminate()


@pytest.mark.parametrize("command", [GUNICORN, [*MAIN, "--host", "0.0.0.0"]])
def test_a_shared_desk_without_a_secret_key_ends_with_a_sentence(tmp_path: Path, command: list[str]) -> None:
    ended = _run(command, _environment(tmp_path))
    assert ended.returncode != 0
    assert "The desk does not start: CXR_SECRET_KEY is not set" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_model_file_ends_the_start_with_its_name(tmp_path: Path) -> None:
    ended = _run([*MAIN, "--model", "nowhere.onnx"], _environment(tmp_path))
    assert ended.returncode == 1
    assert "nowhere.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = _run([sys.executable, "main.py", "--port", port], _environment(tmp_path))
    assert ended.returncode == 1
    assert f"port {port} of 127.0.0.1 cannot be opened" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_setting_that_cannot_be_used_ends_the_start_with_its_name(tmp_path: Path) -> None:
    ended = _run(MAIN, _environment(tmp_path, CXR_LEASE_S="soon"))
    assert ended.returncode == 1
    assert "CXR_LEASE_S" in ended.stderr
