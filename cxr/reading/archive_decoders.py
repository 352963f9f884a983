"""Films are decoded and prepared in processes beside the engine: one that takes its process down costs itself alone.

Each process has one film at a time, so that it is known which one it was.
"""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import cv2

from cxr.errors import CxrError
from cxr.films.film import Film, Limits
from cxr.films.read import read_film
from cxr.reading.archive_sources import Source
from cxr.reading.check import shipped_checker
from cxr.reading.preparation import Preparation, Prepared

STARTING_S = 120.0  # to import everything, on a machine where much else runs
LONGEST_S = 120.0  # any film, a slow bucket included
_SPAWN = multiprocessing.get_context("spawn")  # the threads of an engine do not survive a fork


@dataclass(frozen=True)
class Decoded:
    """A film ready for the engine, or why there is none."""

    prepared: Prepared | None = None
    film: Film | None = None  # where it is asked for: its pixels are many
    error: str = ""


@dataclass(frozen=True)
class Decoding:
    """Name of a film -> Decoded: all that another process is told."""

    source: Source
    preparation: Preparation
    limits: Limits
    keep_films: bool = False

    def __call__(self, name: str) -> Decoded:
        try:
            film = read_film(self.source.read(name, self.limits), self.limits, frontal_only=False)
            return Decoded(self.preparation(film), film if self.keep_films else None)
        except CxrError as error:
            return Decoded(error=str(error))
        except Exception as error:  # among millions of films there is one that nobody has thought of
            return Decoded(error=f"The film cannot be read: {type(error).__name__}: {error}".rstrip(": "))


def serve(requests: Connection, decoding: Decoding) -> None:
    """Decodes films until the process that asks for them closes the pipe, or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt at the keyboard ends the other process, and so this one
    cv2.setNumThreads(1)  # there are as many processes as cores
    _give_way()
    shipped_checker()
    requests.send("ready")
    with suppress(EOFError, OSError):
        while True:
            requests.send(decoding(requests.recv()))


def _give_way() -> None:
    """Where memory runs out, Linux ends this process, which costs a film, before the one with the engine."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


class Decoders:
    """Processes that decode. `decode` may be called from several threads at once, and waits for a free process."""

    def __init__(self, decoding: Decoding, count: int):
        self.count = count
        self._idle: SimpleQueue[_Decoder] = SimpleQueue()
        self._all = [_Decoder(decoding) for _ in range(count)]
        for decoder in self._all:
            self._idle.put(decoder)

    def decode(self, name: str) -> Decoded:
        """Raises CxrError when no process can be started."""
        decoder = self._idle.get()
        try:
            return decoder.decode(name)
        finally:
            self._idle.put(decoder)

    def end(self) -> None:
        for decoder in self._all:
            decoder.end()


@contextmanager
def decoders(decoding: Decoding, count: int) -> Iterator[Decoders]:
    """`count` processes, which end with the block."""
    opened = Decoders(decoding, count)
    try:
        yield opened
    finally:
        opened.end()


class _Decoder:
    """One process, started anew after a film that ended it."""

    def __init__(self, decoding: Decoding):
        self._decoding = decoding
        self._start()

    def _start(self) -> None:
        self._requests, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=serve, args=(theirs, self._decoding), daemon=True)
        self._process.start()
        theirs.close()  # so that the pipe ends with the process
        self._is_ready = False

    def decode(self, name: str) -> Decoded:
        if not self._is_ready:
            self._await_start()
        try:
            self._requests.send(name)
            if self._requests.poll(LONGEST_S):
                decoded: Decoded = self._requests.recv()
                return decoded
            how = f"took longer than {LONGEST_S:.0f} s"
        except (EOFError, OSError):
            self._process.join(STARTING_S)
            how = f"ended with exit code {self._process.exitcode}"
        self.end()
        self._start()
        return Decoded(error=f"The process that decoded this film {how}. The film is damaged, or too large for memory.")

    def _await_start(self) -> None:
        """Raises CxrError when the process ended before it had any film: that is no film's fault."""
        with suppress(EOFError, OSError):
            self._is_ready = self._requests.poll(STARTING_S) and self._requests.recv() == "ready"
        if not self._is_ready:
            raise CxrError("A process that decodes films could not be started; is there enough memory?")

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._requests.close()
