"""The table of an archive while it grows: a folder beside it that any kill leaves so that the run can go on.

Rows stand in the order of the source, so what is done is a number: the first n films have a row, the others none. On
resuming, the names of these rows are held against the source's; no set of names is kept, however many they are.
"""

import csv
import io
import json
import os
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from cxr.durable import sync_file, sync_folder
from cxr.errors import BadRequest, Conflict, CxrError
from cxr.reading.outcomes import film_name

if sys.platform != "win32":
    import fcntl

Row = dict[str, str]  # column -> text, without the columns that say nothing
ABOUT = ("film", "task", "model", "error")  # the other columns are probabilities
SYNC_S = 1.0  # so much work at most is lost when the machine itself goes down
PART_ROWS, PART_S = 4096, 30.0  # a Parquet part is written when it has so many rows, or has waited so long


@dataclass(frozen=True)
class Run:
    """What makes two runs the same: rows of one are rows of the other."""

    source: str
    task: str
    model: str  # sha256 of its file
    calibration: str  # sha256 of all that the file, or the site, says beside the weights
    operating_points: str
    engine: str  # with its precision
    columns: tuple[str, ...]
    anyway: bool = False
    maps: str = ""  # folders
    overlays: str = ""


@dataclass(frozen=True)
class Done:
    """A row that was there already."""

    film: str
    is_read: bool


class Table(ABC):
    """Rows on their way to `out`, in the folder `out`.part; of one process at a time.

    `done` first, to the end; then `write` and `finish`.
    """

    def __init__(self, out: Path, run: Run):
        """Raises BadRequest when `out` cannot be written, Conflict when it is there, in use, or of another run."""
        self.out, self.folder, self.columns = out, out.with_name(f"{out.name}.part"), run.columns
        self._mark = self.folder / "finished"
        if self.is_finished and not self._mark.exists():
            raise Conflict(f"{out} is there already; choose another --out, or remove it.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise BadRequest(f"{out} cannot be written ({error.strerror}); choose another --out.") from error
        try:
            self._hold()
            self._validate(run)
        except BaseException:
            self._lock.close()
            raise

    def _hold(self) -> None:
        """The system lets go of a lock when its process ends, however that ends."""
        if sys.platform != "win32":
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Conflict(f"Another process writes {self.out}; wait for it, or choose another --out.") from error

    def _validate(self, run: Run) -> None:
        file, mine = self.folder / "run.json", json.loads(json.dumps(asdict(run)))
        if not file.exists():
            _replace(file, json.dumps(mine, indent=1).encode())
            return
        began = json.loads(file.read_text())
        differing = [name for name in mine if mine[name] != began.get(name)]
        if differing:
            told = "; ".join(f"{name} was {began.get(name)}, is {mine[name]}" for name in differing)
            raise Conflict(
                f"{self.folder} holds the beginning of another run ({told}). Resume it as it was begun, choose another "
                "--out, or remove that folder."
            )

    @property
    def is_finished(self) -> bool:
        """All rows stand in `out`; a kill came between that and the folder's removal."""
        return self.out.exists()

    @abstractmethod
    def done(self) -> Iterator[Done]:
        """The rows that are there already, whole ones only; a torn one is taken away."""

    @abstractmethod
    def write(self, row: Row) -> None:
        """Adds the next row. Raises BadRequest when the disk is full."""

    def finish(self) -> None:
        """All rows to `out`, at once."""
        if not self.is_finished:
            whole = self._whole()
            self._mark.touch()
            whole.replace(self.out)
            sync_folder(self.out.parent)
        shutil.rmtree(self.folder)

    @abstractmethod
    def _whole(self) -> Path:
        """The file with all rows, synced to disk."""

    @abstractmethod
    def close(self) -> None:
        """Rows so far to disk, for another run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        self._lock.close()


class CsvTable(Table):
    """Rows appended to one file."""

    def __init__(self, out: Path, run: Run):
        super().__init__(out, run)
        self._rows = self.folder / "rows.csv"
        self._file = self._rows.open("ab", buffering=0)  # what a full disk did not take must not come later
        self._synced = time.monotonic()

    def done(self) -> Iterator[Done]:
        end = 0
        with self._rows.open("rb") as file:
            for row, end in _whole_rows(file, len(self.columns)):  # noqa: B007
                if tuple(row) != self.columns:
                    yield Done(row[0], bool(row[3]))
        self._file.truncate(end)
        if not end:
            self._append(self.columns)

    def write(self, row: Row) -> None:
        self._append([row.get(name, "") for name in self.columns])

    def _append(self, values: Sequence[str]) -> None:
        line = _csv_line(values)
        try:
            while line:
                line = line[self._file.write(line) :]
            if time.monotonic() - self._synced > SYNC_S:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise BadRequest(f"{self.folder} cannot be written ({error.strerror}); make room and resume.") from error

    def _whole(self) -> Path:
        self.close()
        return self._rows

    def close(self) -> None:
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()


def _csv_line(values: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue().encode()


def _whole_rows(file: BinaryIO, columns: int) -> Iterator[tuple[list[str], int]]:
    """Rows up to the first that was not written to its end, and the byte at which each ends."""
    end, line = 0, b""

    def lines() -> Iterator[str]:
        nonlocal end, line
        for line in file:
            end += len(line)
            yield line.decode()

    with suppress(csv.Error, UnicodeDecodeError):  # torn inside quotes, or inside a letter
        for row in csv.reader(lines(), strict=True):
            if len(row) != columns or not line.endswith(b"\r\n"):
                return
            yield row, end


class ParquetTable(Table):
    """Rows in parts, each a file of its own until the end, and then a row group."""

    def __init__(self, out: Path, run: Run):
        """Raises CxrError, beside what Table raises, when pyarrow is not installed."""
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise CxrError(
                "Parquet is written by the Python package pyarrow, which is missing or broken. Install it "
                "(pip install pyarrow), or choose an --out that ends in .csv."
            ) from error
        super().__init__(out, run)
        self._arrow, self._parquet = pyarrow, pyarrow.parquet
        kinds = {name: pyarrow.string() for name in ABOUT}
        self._schema = pyarrow.schema([(name, kinds.get(name, pyarrow.float64())) for name in self.columns])
        self._parts, self._waiting, self._began = 0, list[Row](), time.monotonic()

    def done(self) -> Iterator[Done]:
        while (part := self._part(self._parts)).exists():
            rows = self._parquet.read_table(part, columns=[self.columns[0], self.columns[3]])
            for film, probability in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                yield Done(film, probability is not None)
            self._parts += 1

    def _part(self, number: int) -> Path:
        return self.folder / f"rows-{number:08d}.parquet"

    def write(self, row: Row) -> None:
        self._waiting.append(row)
        if len(self._waiting) >= PART_ROWS or time.monotonic() - self._began > PART_S:
            self._write_part()

    def _write_part(self) -> None:
        columns = [[_value(name, row.get(name, "")) for row in self._waiting] for name in self.columns]
        part = io.BytesIO()
        self._parquet.write_table(self._arrow.table(columns, schema=self._schema), part)
        try:
            _replace(self._part(self._parts), part.getvalue())
        except OSError as error:
            raise BadRequest(f"{self.folder} cannot be written ({error.strerror}); make room and resume.") from error
        self._parts, self._began = self._parts + 1, time.monotonic()
        self._waiting.clear()

    def _whole(self) -> Path:
        self.close()
        whole = self.folder / "whole.parquet"
        with whole.open("wb") as file:
            with self._parquet.ParquetWriter(file, self._schema) as writer:
                for number in range(self._parts):
                    writer.write_table(self._parquet.read_table(self._part(number)))
            file.flush()
            os.fsync(file.fileno())
        return whole

    def close(self) -> None:
        if self._waiting:
            self._write_part()


def _value(column: str, text: str) -> str | float | None:
    """As Parquet holds it: no probability is null."""
    if column in ABOUT:
        return text
    return float(text) if text else None


TABLES: dict[str, type[Table]] = {".csv": CsvTable, ".parquet": ParquetTable}  # by the ending of the file


def open_table(out: Path, run: Run) -> Table:
    """The table that grows into `out`. Raises BadRequest for another ending, and what Table raises."""
    kind = TABLES.get(out.suffix.lower())
    if kind is None:
        raise BadRequest(f"--out is {out}; give a file that ends in {' or '.join(TABLES)}.")
    return kind(out, run)


def resume(table: Table, names: Iterator[str]) -> tuple[int, int]:
    """Takes the films that have a row from `names`: how many there were, and how many of them were not read.

    Raises:
        Conflict: the source has changed since, so that the rows are not those of its first films.
    """
    films = unread = 0
    for done in table.done():
        name = next(names, None)
        if name is None or film_name(name) != done.film:
            raise Conflict(
                f"The source has changed since {table.folder} was begun: row {films + 1} is of {done.film!r}, where "
                f"{name or 'nothing'!r} stands now. Put the films back, choose another --out, or remove that folder."
            )
        films, unread = films + 1, unread + (not done.is_read)
    return films, unread


def _replace(file: Path, content: bytes) -> None:
    """Writes all of it or nothing, whenever the machine goes down."""
    half = file.with_name(f"{file.name}.half")
    with half.open("wb") as stream:
        stream.write(content)
        sync_file(stream)
    half.replace(file)
    sync_folder(file.parent)
