"""The packed cache: every film of a table decoded once, into one file that training maps into memory."""

import hashlib
import json
import math
import os
import secrets
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from cxr.errors import CxrError, TrainingDataError
from cxr.films.prepare import fit_square
from cxr.films.read import read_film
from cxr.learning.tables import FilmTable

CACHE_SIDE = 256  # pixels, at least; augmentation cuts smaller inputs out of it
SIDE_STEP = 32  # pixels; sizes that are nearly alike share one cache
MOST_UNREADABLE = 0.01  # share of the films
_AT_ONCE = 512  # films handed to the threads, so that Ctrl-C does not wait for all of them


@dataclass(frozen=True)
class PackedFilms:
    """The readable films of a table, decoded once: (N, side, side) uint8, memory-mapped."""

    squares: NDArray[np.uint8]
    labels: NDArray[np.float32]
    left_out: dict[int, str] = field(default_factory=dict)  # row of the table -> why its film cannot be read

    def __len__(self) -> int:
        return len(self.squares)

    def take(self, rows: NDArray[np.intp]) -> "PackedFilms":
        return PackedFilms(self.squares[rows], self.labels[rows])


def packed_side(size: int) -> int:
    """The side at which films are packed for inputs of `size`: no smaller, and a multiple of SIDE_STEP."""
    return max(CACHE_SIDE, math.ceil(size / SIDE_STEP) * SIDE_STEP)


def pack(
    table: FilmTable, cache: Path, fit: str, most_unreadable: float = MOST_UNREADABLE, side: int = CACHE_SIDE
) -> PackedFilms:
    """The packed films of `table`, `side` pixels wide and high, from the cache folder or decoded into it now.

    Films that cannot be read are left out and counted in `left_out`, never replaced; `table.without(left_out)` is the
    table of those that are packed. The file appears whole or not at all, and says itself which films are not in it.

    Raises:
        TrainingDataError: there is no film; more than `most_unreadable` (a share) of them cannot be read: the first
            is named, and how many there are; the file does not hold as many films as it should; or the cache folder
            has no room or cannot be written.
    """
    if not len(table):
        raise TrainingDataError("There are no films to pack; give a larger data set, --limit or --val-share.")
    names = "\n".join(f"{path.resolve()} {_bytes(path)}" for path in table.paths)
    key = hashlib.sha256(f"{fit} {side}\n{names}".encode()).hexdigest()[:16]
    file = cache / f"films-{key}.npy"
    if not file.exists():
        _make(table, file, fit, most_unreadable, side)
    squares = np.load(file, mmap_mode="r")
    left_out = _read_left_out(file, squares)
    if len(squares) + len(left_out) != len(table):
        raise TrainingDataError(
            f"{file} holds {len(squares)} films, but of {len(table)} it names {len(left_out)} as left out; "
            "delete it, and they are packed anew."
        )
    _check_share(left_out, len(table), most_unreadable)
    kept = np.setdiff1d(np.arange(len(table)), list(left_out))
    return PackedFilms(squares, table.labels[kept], left_out)


def _bytes(path: Path) -> int:
    """Size of a file; -1 where it has gone, which decoding will say in words."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _make(table: FilmTable, file: Path, fit: str, most_unreadable: float, side: int) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(table, file, fit, most_unreadable, side)
    except OSError as error:
        size_gb = len(table) * side**2 / 1e9
        raise TrainingDataError(
            f"The {size_gb:.2g} GB of {len(table)} packed films cannot be written to {file.parent} "
            f"({error.strerror}); make room there or name another folder with --cache."
        ) from error


def _write(table: FilmTable, file: Path, fit: str, most_unreadable: float, side: int) -> None:
    """Decode into a file of another name, which is gone afterwards whatever happens.

    No other process has that name, on this machine or on another, so that several may pack at once.
    """
    unfinished = file.with_suffix(f".{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}.npy")
    try:
        squares = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (len(table), side, side))
        _reserve(unfinished)
        left_out = _decode_all(table, squares, fit)
        _check_share(left_out, len(table), most_unreadable)
        _close_up(unfinished, squares, left_out)
        _append_left_out(unfinished, left_out)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _reserve(file: Path) -> None:
    """Take the room on disk now: a memory map for which the disk has no room later kills the process (SIGBUS)."""
    size = file.stat().st_size
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)
    elif shutil.disk_usage(file.parent).free < size:  # macOS, Windows: not taken, but asked for
        raise OSError(28, "No space left on device")


def _decode_all(table: FilmTable, squares: NDArray[np.uint8], fit: str) -> dict[int, str]:
    """Fill `squares`; row -> why, for each film that cannot be read."""

    def decode(row: int) -> tuple[int, str] | None:
        try:
            square, _ = fit_square(read_film(table.paths[row]).pixels, squares.shape[1], fit)
        except CxrError as error:
            return row, f"{table.paths[row].name}: {error}"
        squares[row] = np.rint(square * 255)
        return None

    left_out: dict[int, str] = {}
    with ThreadPoolExecutor() as threads, tqdm(total=len(table), desc="packing films", unit="film") as progress:
        for begin in range(0, len(table), _AT_ONCE):
            for failure in threads.map(decode, range(begin, min(begin + _AT_ONCE, len(table)))):
                left_out.update([failure] if failure else [])
                progress.update()
    return left_out


def _check_share(left_out: dict[int, str], films: int, most_unreadable: float) -> None:
    if len(left_out) > most_unreadable * films:
        raise TrainingDataError(
            f"{len(left_out)} of {films} films cannot be read, first {next(iter(left_out.values()))} "
            "(--most-unreadable allows more.)"
        )


def _close_up(file: Path, squares: np.memmap[tuple[int, ...], np.dtype[np.uint8]], left_out: dict[int, str]) -> None:
    """Move the readable films together, in place, and shorten the file to them."""
    kept = np.setdiff1d(np.arange(len(squares)), list(left_out))
    for to, row in enumerate(kept):
        if to != row:
            squares[to] = squares[row]
    squares.flush()
    with file.open("r+b") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(kept), *squares.shape[1:])}
        np.lib.format.write_array_header_1_0(stream, header)  # as long as before: room for growing is part of it
        stream.truncate(squares.offset + len(kept) * squares[0].size)


def _append_left_out(file: Path, left_out: dict[int, str]) -> None:
    """Behind the films, where NumPy does not look: both are renamed into place as one."""
    if left_out:
        with file.open("ab") as stream:
            stream.write(json.dumps({"left_out": left_out}).encode())


def _read_left_out(file: Path, squares: "np.memmap[tuple[int, ...], np.dtype[np.uint8]]") -> dict[int, str]:
    """What stands behind the films; files of earlier versions have it beside them."""
    with file.open("rb") as stream:
        stream.seek(squares.offset + squares.nbytes)
        text = stream.read()
    beside = file.with_suffix(".json")
    if not text and beside.exists():
        text = beside.read_bytes()
    return {int(row): why for row, why in json.loads(text)["left_out"].items()} if text else {}
