"""The two doors: `python main.py` and `gunicorn main:app`."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import pytest

from cxr.desk.app import ROOT
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from tests.reading.tiny import tiny_model

MAIN = [sys.executable, "main.py", "--port", "0"]
GUNICORN = [sys.executable, "-m", "gunicorn", "main:app", "--bind", "127.0.0.1:0"]


def _environment(folder: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    return {**kept, "CXR_INSTANCE_PATH": str(folder), **changes}


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


@contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Killed after a minute, so that whoever listens to a desk that says nothing goes on."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as desk:
        alarm = threading.Timer(60, desk.kill)
        alarm.start()
        try:
            yield desk
        finally:
            alarm.cancel()
            desk.terminate()


def _address(desk: "subprocess.Popen[str]") -> str:
    said = []
    for line in desk.stdout or ():
        said.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise AssertionError(f"the desk ended without telling its address: {''.join(said)}")


@pytest.mark.parametrize(
    "command", [[*MAIN, "--host", "localhost"], [*MAIN, "--host", "127.0.0.1"], [*GUNICORN, "--threads", "2"]]
)
def test_the_desk_opens_and_says_where(tmp_path: Path, command: list[str]) -> None:
    environment = _environment(tmp_path, CXR_SECRET_KEY="k", PYTHONUNBUFFERED="1")
    with _started(command, environment) as desk, urlopen(f"{_address(desk)}/readyz", timeout=30) as answer:
        assert answer.read() == b'{"status":"ready"}\n'


@pytest.mark.parametrize("command", [GUNICORN, [*MAIN, "--host", "0.0.0.0"]])
def test_a_shared_desk_without_a_secret_key_ends_with_a_sentence(tmp_path: Path, command: list[str]) -> None:
    ended = _run(command, _environment(tmp_path))
    assert ended.returncode != 0
    assert "The desk does not start: CXR_SECRET_KEY is not set" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_flag_for_a_model_is_given_once_for_each_task(tmp_path: Path) -> None:
    models = [tiny_model(tmp_path / f"{task}.onnx", task, [0.0] * 3) for task in ("covid3", "pneumonia3")]
    flags = [flag for model in models for flag in ("--model", str(model))]
    with _started([*MAIN, *flags], _environment(tmp_path, PYTHONUNBUFFERED="1")) as desk:
        page = urlopen(_address(desk), timeout=30).read().decode()
    offered = re.findall(r'name="task" value="(\w+)"', page)
    assert offered == ["covid3", "chestxray14", "pneumonia3", "pneumonia"]


def test_two_models_of_one_task_end_the_start_with_both_names(tmp_path: Path) -> None:
    models = [tiny_model(tmp_path / name, "covid3", [0.0] * 3) for name in ("a.onnx", "b.onnx")]
    ended = _run(MAIN, _environment(tmp_path, CXR_MODEL=os.pathsep.join(map(str, models))))
    assert ended.returncode == 1
    assert "a.onnx" in ended.stderr and "b.onnx are both models of the task covid3" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_model_file_ends_the_start_with_its_name(tmp_path: Path) -> None:
    ended = _run([*MAIN, "--model", "nowhere.onnx"], _environment(tmp_path))
    assert ended.returncode == 1
    assert "nowhere.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_colon_in_the_name_of_a_model_file_is_part_of_it(tmp_path: Path) -> None:
    ended = _run([*MAIN, "--model", "run 12:30/model.onnx"], _environment(tmp_path))
    assert "The model file 'model.onnx' cannot be opened (No such file or directory)" in ended.stderr


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


def test_a_database_that_cannot_be_used_ends_the_start_without_its_password(tmp_path: Path) -> None:
    ended = _run(
        GUNICORN, _environment(tmp_path, CXR_SECRET_KEY="k", CXR_DATABASE_URL="postgresql://me:geheim@127.0.0.1:1/cxr")
    )
    assert ended.returncode != 0
    assert "The desk does not start: The database cannot be opened" in ended.stderr
    assert "geheim" not in ended.stderr + ended.stdout and "Traceback" not in ended.stderr


def test_the_application_is_made_once_and_not_by_an_import(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    import main

    assert "app" not in vars(main)
    monkeypatch.setenv("CXR_INSTANCE_PATH", str(tmp_path))
    monkeypatch.setenv("CXR_SECRET_KEY", "k")
    monkeypatch.setattr("cxr.desk.app.Readers.find", lambda *_: Readers.holding(reader))
    made = main.app
    try:
        assert main.app is made and vars(main)["app"] is made
    finally:
        made.extensions["intake"].close()
        monkeypatch.delitem(vars(main), "app")


@pytest.mark.parametrize(("setting", "status"), [({}, 403), ({"CXR_ALLOWED_HOSTS": "Desk.example:443,127.0.0.1"}, 200)])
def test_gunicorn_on_loopback_answers_to_loopback_and_to_listed_names(
    tmp_path: Path, setting: dict[str, str], status: int
) -> None:
    environment = _environment(tmp_path, CXR_SECRET_KEY="k", PYTHONUNBUFFERED="1", **setting)
    with _started(GUNICORN, environment) as desk:
        host = _address(desk).removeprefix("http://")
        assert _status(host, "/films", host) == 200
        assert _status(host, "/films", "desk.example") == status
        assert _status(host, "/static/./gradcam/.gitkeep", host) == 404


def _status(server: str, path: str, host: str) -> int:
    """Of the path as it stands, which clients for people would tidy up."""
    connection = HTTPConnection(server, timeout=30)
    with closing(connection):
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
