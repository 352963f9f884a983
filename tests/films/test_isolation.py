"""A decoder that crashes, hangs or talks nonsense costs one film and nothing else."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cxr.errors import UnreadableFilm
from cxr.films import isolation
from cxr.films.dicom import read_dicom
from cxr.films.film import Limits
from tests.films.encoders import FRAME_ENCODERS, encapsulated
from tests.phantom import dicom_dataset, to_bytes

JPEG_LS, encode_jpeg_ls = FRAME_ENCODERS["JPEG-LS, imagecodecs"]


def film_of_one_value(value):
    stored = np.full((64, 64), value, np.uint16)
    dataset = dicom_dataset(stored, 12, WindowCenter=50, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    return to_bytes(encapsulated(dataset, encode_jpeg_ls(stored, 12), JPEG_LS))


@pytest.fixture
def workers(monkeypatch):
    """Workers of this test alone, ended with it."""
    workers = isolation._Workers()
    monkeypatch.setattr(isolation, "_WORKERS", workers)
    yield workers
    workers._end_all(os.getpid())


def replace_program(monkeypatch, tmp_path, source):
    program = tmp_path / "program.py"
    program.write_text(source)
    monkeypatch.setattr(isolation, "PROGRAM", program)


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.abort()",
        "import sys; sys.stdin.readline(); sys.exit(1)",
        "print('nonsense')",
        'print(\'{"bytes": 1000, "by_plane": false}\')\nprint("half")',
    ],
)
def test_a_decoder_that_crashes_is_an_unreadable_film(workers, monkeypatch, tmp_path, source):
    replace_program(monkeypatch, tmp_path, source)
    with pytest.raises(UnreadableFilm, match="its decoder crashed or did not end"):
        read_dicom(film_of_one_value(7), Limits())
    assert workers._idle == []


def test_a_decoder_that_does_not_end_is_ended(workers, monkeypatch, tmp_path):
    replace_program(monkeypatch, tmp_path, "import time; time.sleep(600)")
    monkeypatch.setattr(isolation, "TIMEOUT_S", 0.2)
    with pytest.raises(UnreadableFilm, match="its decoder crashed or did not end"):
        read_dicom(film_of_one_value(7), Limits())


def test_a_refused_frame_does_not_cost_the_process(workers):
    file = film_of_one_value(7)
    broken = bytearray(file)
    scan = file.index(b"\xff\xda")
    broken[scan + 10 : scan + 40] = bytes(30)
    with pytest.raises(UnreadableFilm, match=r"is damaged\. Export or send it again"):
        read_dicom(bytes(broken), Limits())
    (worker,) = workers._idle
    assert read_dicom(file, Limits()).pixels[0, 0] == np.float32(0.07)
    assert workers._idle == [worker]


def test_films_read_at_once_are_never_mixed_up(workers):
    files = {value: film_of_one_value(value) for value in range(1, 25)}
    with ThreadPoolExecutor(6) as readers:
        films = readers.map(lambda value: read_dicom(files[value], Limits()), files)
    assert [float(film.pixels.max()) for film in films] == pytest.approx([value / 100 for value in files])
    assert len(workers._idle) <= isolation.MAX_IDLE


def test_workers_of_before_a_fork_are_left_to_the_parent(workers, monkeypatch):
    read_dicom(film_of_one_value(7), Limits())
    (parents,) = workers._idle
    with monkeypatch.context() as fork:
        fork.setattr(os, "getpid", lambda: 1)
        assert workers._take() is None
    parents.end()
