"""The same archive on a Ray of this machine, with two workers."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.cli import main
from tests.phantom import phantom_jpeg
from tests.reading.tiny import tiny_model

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture
def ray() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="pip install 'ray[data]'")
    yield
    ray.shutdown()


@pytest.mark.usefixtures("ray")
def test_a_cluster_gives_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_THREADS", "1")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # of Ray's own 15 nothing comes beside other work
    model = tiny_model(tmp_path / "tiny.onnx", "pneumonia3", [0.0, 2.0, 1.0], [0.0, 2.0, 3.0])
    folder = tmp_path / "films"
    folder.mkdir()
    for number in range(150):
        (folder / f"{number:03d}.jpg").write_bytes(
            phantom_jpeg(side=128, seed=number % 5)[: None if number % 7 else 900]
        )
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    flags = [str(folder), "--model", str(model), "--maps"]
    assert main(["archive", *flags, str(tmp_path / "maps"), "--out", str(here)]) == 0
    assert main(["archive", *flags, str(tmp_path / "m2"), "--out", str(there), "--ray", "local", "--workers", "2"]) == 0
    assert there.read_bytes() == here.read_bytes()
    assert len(list((tmp_path / "m2" / "00000").iterdir())) == len(list((tmp_path / "maps" / "00000").iterdir())) == 128


def test_without_ray_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (tmp_path / "film.jpg").write_bytes(phantom_jpeg(side=128))
    assert main(["archive", str(tmp_path), "--out", str(tmp_path / "out.csv"), "--ray", "local"]) == 1
    assert "pip install 'ray[data]'" in capsys.readouterr().err
