"""Decodes frames in another process, so that a damaged one ends that process and not the desk."""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr.errors import UnreadableFilm
from cxr.settings import MIB

PROGRAM = Path(__file__).with_name("codecworker.py")
TIMEOUT_S = 60.0  # 64 megapixels of JPEG 2000, the slowest that the limits let in, take about 10 s
MAX_IDLE = 2  # processes kept for the next film


@dataclass(frozen=True)
class Decoded:
    """Values of a frame, little endian."""

    values: bytes
    by_plane: bool


def decode_isolated(codec: str, encoded: bytes, **frame: Any) -> Decoded:
    """Decodes a frame by one of `codecworker.CODECS`.

    Raises:
        UnreadableFilm: the decoder refused the frame, crashed over it, or took more than `TIMEOUT_S`.
    """
    request = json.dumps({"codec": codec, "bytes": len(encoded), **frame}).encode() + b"\n"
    with _WORKERS.borrow() as worker:
        decoded = worker.decode(request, encoded)
    if decoded is None:
        raise UnreadableFilm("The compressed image in the DICOM file is damaged. Export or send it again.")
    return decoded


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
            pipesize=MIB,
        )

    def decode(self, request: bytes, encoded: bytes) -> Decoded | None:
        """Values, or None when the decoder refused them; raises _WorkerLost."""
        alarm = threading.Timer(TIMEOUT_S, self.process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            return self._exchange(request, encoded)
        except (OSError, ValueError) as error:  # a broken pipe, half an answer
            raise _WorkerLost from error
        finally:
            alarm.cancel()

    def _exchange(self, request: bytes, encoded: bytes) -> Decoded | None:
        requests, answers = self.process.stdin, self.process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(request)
        requests.write(encoded)
        requests.flush()
        answer = json.loads(answers.readline())
        if "failed" in answer:
            return None
        values = answers.read(answer["bytes"])
        if len(values) != answer["bytes"]:
            raise ValueError("half an answer")
        return Decoded(values, answer["by_plane"])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


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
            return self._idle.pop() if self._idle else None

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
