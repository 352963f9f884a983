"""Films on their way to a machine without a network: a data set in a few files, and a folder made of them there.

`pack` writes `chunk-00.bin`, `chunk-01.bin`, ...: the films' bytes one after the other, and `index.json.gz`, which says
what lies where, with the sha256 of each chunk. The chunks may arrive one by one, the index with each of them. `unpack`
makes a csv of one's own of them, in which training finds the same films, labels and parts as in the data set.
"""

import dataclasses
import gzip
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from cxr.errors import CxrError, TrainingDataError
from cxr.films.prepare import fit_square
from cxr.films.raster import JPEG_SIGNATURE
from cxr.films.read import read_film
from cxr.learning.csv_layouts import OWN_CSV
from cxr.learning.datasets import read_data_set
from cxr.learning.packing import packed_side
from cxr.learning.supply import Supply
from cxr.learning.tables import FilmTable, depth_apart, patient_of
from cxr.tasks import TASKS, Recipe, Task

INDEX = "index.json.gz"
STATE = "travel.json"  # in the folder that chunks are unpacked into
PARTS = ("train", "validation")  # never the test part
MB = 1e6  # bytes
_LARGEST_JPEG = 64_000  # bytes; a larger one is carried as a PNG of the size that training packs
_AT_ONCE = 512  # films handed to the threads


@dataclass(frozen=True)
class Chunk:
    """One file of films."""

    name: str
    sha256: str
    films: tuple[tuple[str, int], ...]  # path in the unpacked folder, bytes; one after the other


@dataclass(frozen=True)
class Index:
    """What all chunks hold together."""

    task: str
    side: int  # pixels, of the films that were written anew
    rewritten: int  # how many these are
    table: str  # films.csv
    fingerprints: dict[str, str]  # part -> of its table
    notes: tuple[str, ...]
    chunks: tuple[Chunk, ...]

    @property
    def films(self) -> int:
        return sum(len(chunk.films) for chunk in self.chunks)

    @classmethod
    def read(cls, file: Path) -> "Index":
        """Raises TrainingDataError when it is missing or damaged."""
        try:
            raw = json.loads(gzip.decompress(file.read_bytes()))
            chunks = tuple(
                Chunk(each["name"], each["sha256"], tuple((path, size) for path, size in each["films"]))
                for each in raw["chunks"]
            )
            return cls(**{**raw, "notes": tuple(raw["notes"]), "chunks": chunks})
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise TrainingDataError(f"{file} is missing or damaged ({error}); send it with each chunk.") from error

    def write(self, file: Path) -> None:
        _write(file, gzip.compress(json.dumps(dataclasses.asdict(self)).encode(), mtime=0))


@dataclass(frozen=True)
class _Lot:
    """The films of one part of one data set."""

    part: str
    prefix: str  # of patients and paths, which tells one data set from another
    folder: Path
    table: FilmTable

    def paths(self) -> list[str]:
        """Of each film, in the unpacked folder: as below the data set's folder, else by its row."""
        return [f"images/{self.prefix}{self._place(row, path)}" for row, path in enumerate(self.table.paths)]

    def _place(self, row: int, path: Path) -> str:
        if path.is_relative_to(self.folder) and ".." not in path.relative_to(self.folder).parts:
            return path.relative_to(self.folder).as_posix()
        return f"{self.part}/{row}/{path.name}"


# ---- packing


def pack(supplies: Sequence[Supply], recipe: Recipe, out: Path, chunk_bytes: float, side: int | None = None) -> Index:
    """Write the training and validation films of the data sets to `out`, in chunks of at most `chunk_bytes`.

    A JPEG goes as it is, unless it is large. Every other film goes as a PNG of `side` pixels, by default as wide and
    high as training packs it, so nothing is lost. What cannot be read goes as it is too, and is left out there.
    `recipe` says by its `val_share` and `seed` which patients are held out.

    Raises:
        TrainingDataError: see `read_data_set`; a film is in the training part of one data set and in the validation
            part of another; one film is larger than a chunk; or `out` cannot be written.
    """
    task, lots = supplies[0].task, _lots(supplies, recipe)
    if len(supplies) > 1:
        _check_apart(lots)
    side = side or packed_side(recipe.size)
    films = _Films(task.preprocessing.fit, side)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / INDEX).unlink(missing_ok=True)
        chunks = _write_chunks(out, lots, films, int(chunk_bytes))
        index = Index(
            task=task.name,
            side=side,
            rewritten=films.rewritten,
            table=_table(task, lots),
            fingerprints={part: _fingerprint(lots, part) for part in PARTS},
            notes=_notes(lots),
            chunks=chunks,
        )
        index.write(out / INDEX)
    except OSError as error:
        raise TrainingDataError(f"The chunks cannot be written to {out} ({error.strerror}).") from error
    return index


def _lots(supplies: Sequence[Supply], recipe: Recipe) -> list[_Lot]:
    """Training before validation, each in the order of the data sets."""
    lots: dict[str, list[_Lot]] = {part: [] for part in PARTS}
    for number, supply in enumerate(supplies):
        films, folder = supply.read(), supply.folder
        place = folder if folder.is_dir() else folder.parent
        prefix = f"{number}/" if len(supplies) > 1 else ""
        tables = supply.training(films, recipe), supply.validation(films, [recipe])
        for part, table in zip(PARTS, tables, strict=True):
            lots[part].append(_Lot(part, prefix, place, table))
    return [lot for part in PARTS for lot in lots[part]]


def _check_apart(lots: Sequence[_Lot]) -> None:
    """Two data sets may hold films of one patient, e.g. when both were taken from NIH's."""
    paths_of: dict[Path, list[Path]] = {}
    for lot in lots:
        paths_of.setdefault(lot.folder, []).extend(lot.table.paths)
    depths = {folder: depth_apart(paths) or 1 for folder, paths in paths_of.items()}
    seen: dict[str, tuple[_Lot, Path]] = {}
    for lot in lots:
        for path in lot.table.paths:
            other, film = seen.setdefault(_known_by(path, depths[lot.folder]), (lot, path))
            if other.part != lot.part and other.folder != lot.folder:
                raise TrainingDataError(
                    f"Film {film.name} is in the {other.part} part of {other.folder}, and {path.name} of the same "
                    f"patient in the {lot.part} part of {lot.folder}; pack the data sets apart, or leave one out."
                )


def _known_by(path: Path, depth: int) -> str:
    """What tells a film also in another data set: the patient in its name, else the end of its path and its bytes.

    The patients of a table do not, nor does a name like `1.png`: each data set counts its own.
    """
    patient = patient_of(path)
    if patient != path.stem:
        return f"patient {patient}"
    return f"{'/'.join(path.parts[-depth:])} {path.stat().st_size}"


def _table(task: Task, lots: Sequence[_Lot]) -> str:
    """films.csv: labels 1, 0, or empty where not known."""
    tables = []
    for lot in lots:
        table = lot.table
        known = {
            "path": lot.paths(),
            "patient": [f"{lot.prefix}{patient}" for patient in table.patients],
            "part": lot.part,
            "sex": table.sex,
            "age": table.age_years,
            "view": table.view,
        }
        labels = pd.DataFrame(table.labels, columns=list(task.labels)).astype("Int8")
        tables.append(pd.concat([pd.DataFrame(known), labels], axis=1))
    return str(pd.concat(tables).to_csv(index=False))


def _fingerprint(lots: Sequence[_Lot], part: str) -> str:
    """That of the tables of a part, one after the other, under the names that the films have when unpacked."""
    of_part = [lot for lot in lots if lot.part == part]
    paths = tuple(Path(path) for lot in of_part for path in lot.paths())
    labels = np.concatenate([lot.table.labels for lot in of_part])
    return dataclasses.replace(of_part[0].table, paths=paths, labels=labels).fingerprint()


def _notes(lots: Sequence[_Lot]) -> tuple[str, ...]:
    said = [note for lot in lots for note in lot.table.notes]
    missing = {lot.folder.name: len(lot.table.missing) for lot in lots if lot.part == "train" and lot.table.missing}
    said += [f"{count} films that {folder} names were missing when it was packed." for folder, count in missing.items()]
    return tuple(dict.fromkeys(said))


@dataclass
class _Films:
    """Makes of a film the bytes that travel."""

    fit: str
    side: int  # pixels
    rewritten: int = 0

    def of(self, paths: Sequence[Path]) -> Iterator[bytes]:
        with ThreadPoolExecutor() as threads, tqdm(total=len(paths), desc="films", unit="film") as progress:
            for begin in range(0, len(paths), _AT_ONCE):
                for data, anew in threads.map(self._bytes, paths[begin : begin + _AT_ONCE]):
                    self.rewritten += anew
                    progress.update()
                    yield data

    def _bytes(self, path: Path) -> tuple[bytes, bool]:
        data = path.read_bytes()
        if data.startswith(JPEG_SIGNATURE) and len(data) <= _LARGEST_JPEG:
            return data, False
        try:
            square, _ = fit_square(read_film(data).pixels, self.side, self.fit)
        except CxrError:
            return data, False
        return cv2.imencode(".png", np.rint(square * 255).astype(np.uint8))[1].tobytes(), True


def _write_chunks(out: Path, lots: Sequence[_Lot], films: _Films, chunk_bytes: int) -> tuple[Chunk, ...]:
    for old in out.glob("chunk-*.bin"):
        old.unlink()
    sources = [path for lot in lots for path in lot.table.paths]
    names = [path for lot in lots for path in lot.paths()]
    chunks: list[Chunk] = []
    body, inside = bytearray(), list[tuple[str, int]]()
    for name, data in zip(names, films.of(sources), strict=True):
        if len(data) > chunk_bytes:
            raise TrainingDataError(f"Film {name} has {len(data) / MB:.3g} MB, more than a chunk; raise --chunk-mb.")
        if len(body) + len(data) > chunk_bytes:
            chunks.append(_write_chunk(out, len(chunks), body, inside))
            body, inside = bytearray(), []
        body += data
        inside.append((name, len(data)))
    return (*chunks, _write_chunk(out, len(chunks), body, inside))


def _write_chunk(out: Path, number: int, body: bytearray, films: Sequence[tuple[str, int]]) -> Chunk:
    chunk = Chunk(f"chunk-{number:02d}.bin", hashlib.sha256(body).hexdigest(), tuple(films))
    _write(out / chunk.name, body)
    return chunk


def _write(file: Path, data: bytes | bytearray) -> None:
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


# ---- unpacking


@dataclass(frozen=True)
class Unpacked:
    """How far an unpacked folder is; stored in it."""

    key: str  # sha256 of all chunks' sha256
    task: str
    side: int
    rewritten: int
    notes: tuple[str, ...]
    done: tuple[str, ...]  # names of chunks
    missing: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> "Unpacked | None":
        """None where no chunk was unpacked."""
        file = folder / STATE
        if not file.exists():
            return None
        try:
            raw = json.loads(file.read_text())
            return cls(**{**raw, **{name: tuple(raw[name]) for name in ("notes", "done", "missing")}})
        except (ValueError, TypeError, KeyError) as error:
            raise TrainingDataError(f"{file} is damaged ({error}); unpack into a new folder.") from error


def unpack(folders: Sequence[Path], out: Path) -> Unpacked:
    """Unpack the chunks that are in `folders` into `out`; films.csv appears there with the last of them.

    Raises:
        TrainingDataError: no index, or chunks of several data sets; a chunk is damaged, once all others are unpacked;
            the films of `out` are not those that were packed; or `out` cannot be written.
    """
    index = _one_index(folders)
    key = _key(index)
    before = Unpacked.read(out)
    if before and before.key != key:
        raise TrainingDataError(f"{out} holds films of other chunks; name another folder with --out.")
    done, damaged = set(before.done if before else ()), []
    try:
        for chunk in index.chunks:
            file = next((folder / chunk.name for folder in folders if (folder / chunk.name).is_file()), None)
            if chunk.name not in done and file is not None:
                if _unpack_chunk(chunk, file, out):
                    done.add(chunk.name)
                else:
                    damaged.append(str(file))
        state = _note(index, key, out, done)
    except OSError as error:
        raise TrainingDataError(f"The films cannot be written to {out} ({error.strerror}).") from error
    if damaged:
        raise TrainingDataError(f"{', '.join(damaged)} is damaged (its sha256 is not the packed one's); send it again.")
    if not state.missing:
        _check_films(index, out)
    return state


def _one_index(folders: Sequence[Path]) -> Index:
    files = [folder / INDEX for folder in folders if (folder / INDEX).is_file()]
    if not files:
        raise TrainingDataError(f"There is no {INDEX} in {', '.join(map(str, folders))}; send it with each chunk.")
    first, *others = (Index.read(file) for file in files)
    if any(_key(other) != _key(first) for other in others):
        raise TrainingDataError("The folders hold chunks of several data sets; unpack each of them by itself.")
    return first


def _key(index: Index) -> str:
    return hashlib.sha256("".join(chunk.sha256 for chunk in index.chunks).encode()).hexdigest()


def _unpack_chunk(chunk: Chunk, file: Path, out: Path) -> bool:
    """False, and nothing written, when the chunk is damaged."""
    data = memoryview(file.read_bytes())
    if hashlib.sha256(data).hexdigest() != chunk.sha256:
        return False
    begin = 0
    for name, size in chunk.films:
        _validate_name(name)
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data[begin : begin + size])
        begin += size
    return True


def _validate_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] != ("images",):
        raise TrainingDataError(f"The index names a film {name!r} that is not below images/; pack the films again.")


def _note(index: Index, key: str, out: Path, done: set[str]) -> Unpacked:
    """Write how far the folder is, and its films.csv when nothing is missing."""
    names = [chunk.name for chunk in index.chunks]
    missing = tuple(name for name in names if name not in done)
    state = Unpacked(key, index.task, index.side, index.rewritten, index.notes, tuple(sorted(done)), missing)
    out.mkdir(parents=True, exist_ok=True)
    _write(out / STATE, json.dumps(dataclasses.asdict(state), indent=1).encode())
    if not missing:
        _write(out / OWN_CSV, index.table.encode())
    return state


def _check_films(index: Index, out: Path) -> None:
    films = read_data_set(out, TASKS[index.task])
    for part, fingerprint in index.fingerprints.items():
        if films.part(part, most_unreadable=0).fingerprint() != fingerprint:
            raise TrainingDataError(f"The {part} films of {out} are not those that were packed; name a new --out.")
