"""Decodes frames in another process, so that a damaged one ends that process and not the desk."""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cxr.errors import CxrError, UnreadableFilm
from cxr.settings import MIB

if sys.platform == "linux":
    import fcntl

PROGRAM = Path(__file__).with_name("codecworker.py")
PACKAGES = {  # that have the decoders of `codecworker.CODECS`
    "gdcm": "python-gdcm",
    "jpeg-ls": "pyjpegls",
    "jpeg-2000": "pylibjpeg-openjpeg",
    "rle": "pylibjpeg-rle",
}
LOADING_S = 60.0  # no file has a say in how long a decoder takes to load
TIMEOUT_S = 5.0  # for any frame, and for each million of its values besides
TIMEOUT_PER_MILLION_S = 1.0  # JPEG 2000, the slowest, takes 0.17 s on a machine with nothing else to do
MAX_IDLE = 2  # processes kept for the next film


@dataclass(frozen=True)
class Decoded:
    """Values of a frame, little endian."""

    values: bytes
    by_plane: bool


def decode_isolated(codec: str, encoded: bytes, count: int, **frame: Any) -> Decoded:
    """Decodes a frame of `count` values, by its header, by one of `codecworker.CODECS`.

    Raises:
        UnreadableFilm: the decoder refused the frame, crashed over it, or took longer than `TIMEOUT_S` lets it.
        CxrError: the decoder is not installed.
        MemoryError: there is too little of it.
        OSError: the system starts no process.
    """
    request = json.dumps({"codec": codec, "bytes": len(encoded), **frame}).encode() + b"\n"
    with _WORKERS.borrow() as worker:
        answer = worker.decode(request, encoded, TIMEOUT_S + TIMEOUT_PER_MILLION_S * count / 1e6)
    if isinstance(answer, Decoded):
        return answer
    if answer == "missing":
        raise CxrError(
            f"The decoder of this compressed DICOM film cannot be loaded: the Python package {PACKAGES[codec]} is "
            f"missing or broken. Install it (pip install {PACKAGES[codec]}), or send the film uncompressed."
        )
    if answer == "memory":
        raise MemoryError("the decoder of a compressed DICOM frame had too little memory")
    raise UnreadableFilm("The compressed image in the DICOM file is damaged. Export or send it again.")


class _WorkerLost(Exception):
    """The process ended, by itself or because it took too long."""


class _Worker:
    def __init__(self) -> None:
        # -P: the folder of the program, where a module may be called as one of the standard library, is not searched.
        # A session of its own: an interrupt at the keyboard ends the desk, and with it the pipe, and so this process.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._answers = self.process.stdin, self.process.stdout
        _widen(self._requests)
        _widen(self._answers)

    def decode(self, request: bytes, encoded: bytes, timeout_s: float) -> Decoded | str:
        """Values, or why the process has none: "missing", "memory" or "damaged". Raises _WorkerLost."""
        try:
            with self._ended_after(LOADING_S):
                answer = self._ask(request)
            with self._ended_after(timeout_s):
                return str(answer["failed"]) if "failed" in answer else self._exchange(encoded)
        except (OSError, ValueError, KeyError) as error:  # a broken pipe, half an answer
            raise _WorkerLost from error

    @contextmanager
    def _ended_after(self, seconds: float) -> Iterator[None]:
        alarm = threading.Timer(seconds, self.process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()

    def _exchange(self, encoded: bytes) -> Decoded | str:
        answer = self._ask(encoded)
        if "failed" in answer:
            return str(answer["failed"])
        values = self._answers.read(answer["bytes"])
        if len(values) != answer["bytes"]:
            raise ValueError("half an answer")
        return Decoded(values, answer["by_plane"])

    def _ask(self, question: bytes) -> dict[str, Any]:
        self._requests.write(question)
        self._requests.flush()
        answer = json.loads(self._answers.readline())
        if not isinstance(answer, dict):
            raise ValueError("no answer")
        return answer

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def _widen(pipe: IO[bytes]) -> None:
    """A wider pipe saves turns between two processes. Other systems have none, and Linux runs out of room for them."""
    if sys.platform == "linux":
        with suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, MIB)


class _Workers:
    """Processes that wait for the next film. Those of before a fork belong to the parent and are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._pid = 0

    @contextmanager
    def borrow(self) -> Iterator[_Worker]:
        worker = self._take() or _Worker()
        try:
            yield worker
        except _WorkerLost as lost:
            worker.end()
            raise UnreadableFilm(
                "The compressed image in the DICOM file is damaged: its decoder crashed or did not end. "
                "Export or send it again."
            ) from lost
        except BaseException:
            worker.end()
            raise
        self._give_back(worker)

    def _take(self) -> _Worker | None:
        with self._lock:
            if self._pid != os.getpid():
                self._idle, self._pid = [], os.getpid()
                atexit.register(self._end_all, self._pid)
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                worker.end()  # the system may end a process that waits, for instance when memory runs out
            return None

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(worker)
                return
        worker.end()

    def _end_all(self, pid: int) -> None:
        """At exit of the process `pid`; a process that was forked from it leaves the workers alone."""
        if pid == os.getpid():
            while worker := self._take():
                worker.end()


_WORKERS = _Workers()
