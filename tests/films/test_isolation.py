"""A decoder that crashes, hangs or talks nonsense costs one film and nothing else."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cxr.errors import CxrError, UnreadableFilm
from cxr.films import codecworker, isolation
from cxr.films.dicom import read_dicom
from cxr.films.dicomfile import damage_is_unreadable
from cxr.films.film import Limits
from tests.films.encoders import FRAME_ENCODERS, encapsulated
from tests.phantom import dicom_dataset, to_bytes

JPEG_LS = FRAME_ENCODERS["JPEG-LS, imagecodecs"]


def film_of_one_value(value):
    stored = np.full((64, 64), value, np.uint16)
    dataset = dicom_dataset(stored, 12, WindowCenter=50, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    return to_bytes(encapsulated(dataset, JPEG_LS.encode(stored, 12), JPEG_LS.syntax))


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
        "print(12)",
        'print(\'{"ready": true}\')\nprint(\'{"bytes": 1000, "by_plane": false}\')\nprint("half")',
    ],
)
def test_a_decoder_that_crashes_is_an_unreadable_film(workers, monkeypatch, tmp_path, source):
    replace_program(monkeypatch, tmp_path, source)
    with pytest.raises(UnreadableFilm, match="its decoder crashed or did not end"):
        read_dicom(film_of_one_value(7), Limits())
    assert workers._idle == []


READY = "import json, sys, time; print(json.dumps({'ready': True}), flush=True); "


def test_a_decoder_that_does_not_end_is_ended(workers, monkeypatch, tmp_path):
    replace_program(monkeypatch, tmp_path, READY + "time.sleep(600)")
    monkeypatch.setattr(isolation, "TIMEOUT_S", 0.2)
    with pytest.raises(UnreadableFilm, match="its decoder crashed or did not end"):
        read_dicom(film_of_one_value(7), Limits())


def test_a_decoder_that_does_not_load_is_ended(workers, monkeypatch, tmp_path):
    replace_program(monkeypatch, tmp_path, "import time; time.sleep(600)")
    monkeypatch.setattr(isolation, "LOADING_S", 0.2)
    with pytest.raises(UnreadableFilm, match="its decoder crashed or did not end"):
        read_dicom(film_of_one_value(7), Limits())


def test_a_frame_has_five_seconds_and_one_more_for_each_million_of_values(monkeypatch):
    given = []

    def decode(worker, request, encoded, timeout_s):
        given.append(timeout_s)
        return isolation.Decoded(b"", False)

    monkeypatch.setattr(isolation._Worker, "decode", decode)
    for count in (64 * 64, 5_000_000, 64_000_000):
        isolation.decode_isolated("rle", b"", count)
    assert given == pytest.approx([5.0, 10.0, 69.0], abs=0.01)


def test_a_process_that_died_while_it_waited_costs_no_film(workers):
    file = film_of_one_value(7)
    read_dicom(file, Limits())
    (dead,) = workers._idle
    dead.process.kill()
    dead.process.wait()
    assert read_dicom(file, Limits()).pixels[0, 0] == np.float32(0.07)
    (worker,) = workers._idle
    assert worker is not dead


@pytest.mark.parametrize("codec", codecworker.CODECS)
def test_a_decoder_that_is_not_installed_is_no_damage_and_its_package_is_named(workers, monkeypatch, tmp_path, codec):
    # Bare Python, with the worker's own program: there is no decoder at all.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$2"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    message = rf"cannot be loaded: the Python package {isolation.PACKAGES[codec]} is missing or broken\. Install it"
    with pytest.raises(CxrError, match=message) as refusal:
        isolation.decode_isolated(codec, b"", 0)
    assert not isinstance(refusal.value, UnreadableFilm)
    assert len(workers._idle) == 1


def test_a_decoder_without_memory_is_no_damage(workers, monkeypatch, tmp_path):
    replace_program(monkeypatch, tmp_path, READY + "print(json.dumps({'failed': 'memory'})); time.sleep(600)")
    with pytest.raises(MemoryError):
        read_dicom(film_of_one_value(7), Limits())


def test_a_system_that_starts_no_process_is_no_damage(workers, monkeypatch):
    def refuse(*command, **how):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(BlockingIOError):
        read_dicom(film_of_one_value(7), Limits())


@pytest.mark.parametrize("fault", [MemoryError(), OSError(24, "Too many open files")])
def test_faults_of_the_machine_are_no_damage(fault):
    with pytest.raises(type(fault)), damage_is_unreadable():
        raise fault


@pytest.mark.parametrize("damage", [OSError("No tag to read at file position 0"), EOFError(), ValueError()])
def test_whatever_else_is_raised_is_damage(damage):
    with pytest.raises(UnreadableFilm, match="truncated or damaged"), damage_is_unreadable():
        raise damage


def test_a_system_without_room_for_wider_pipes_does_without(workers, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    fcntl = pytest.importorskip("fcntl", reason="pipes have one width on this system")
    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert read_dicom(film_of_one_value(7), Limits()).pixels[0, 0] == np.float32(0.07)


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
