"""The table of an archive: whatever stops it, no row is lost and none stands there twice."""

import csv
import dataclasses
import io
from pathlib import Path

import pytest

from cxr.errors import BadRequest, Conflict
from cxr.reading.archive_tables import Row, Run, Table, _whole_rows, open_table, resume

RUN = Run("films", "pneumonia", "a1", "c0", "youden", "f32", ("film", "task", "model", "pneumonia", "error"))
ROWS: list[Row] = [
    {"film": "1.png", "task": "pneumonia", "model": "a1", "pneumonia": "0.250000", "error": ""},
    {"film": 'r\u00f6ntgen, "2"\r\nof 3.png', "task": "pneumonia", "model": "a1", "pneumonia": "0.500000", "error": ""},
    {"film": "3.png", "task": "pneumonia", "model": "a1", "error": 'Refused: "turned", upside down.'},
]
NAMES = [row["film"] for row in ROWS]


def _table(folder: Path, run: Run = RUN) -> Table:
    return open_table(folder / "out.csv", run)


def _write_all(table: Table) -> tuple[int, int]:
    """Resumes, and writes what is missing; how many rows there were, and how many of them of films not read."""
    names = iter(NAMES)
    found = resume(table, names)
    for name in names:
        table.write(ROWS[NAMES.index(name)])
    table.finish()
    return found


def _read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """The file of a run that nothing stopped."""
    (tmp_path / "whole").mkdir()
    with _table(tmp_path / "whole") as table:
        assert _write_all(table) == (0, 0)
    return (tmp_path / "whole" / "out.csv").read_bytes()


def test_a_finished_table_is_one_file_with_the_columns_of_predict(tmp_path: Path, whole: bytes) -> None:
    rows = _read(tmp_path / "whole" / "out.csv")
    assert [row["film"] for row in rows] == NAMES
    assert list(rows[2].values()) == ["3.png", "pneumonia", "a1", "", 'Refused: "turned", upside down.']
    assert [file.name for file in (tmp_path / "whole").iterdir()] == ["out.csv"]


def test_wherever_the_file_is_torn_only_whole_rows_are_left(whole: bytes) -> None:
    header, *ends = [end for _, end in _whole_rows(io.BytesIO(whole), 5)]
    assert len(ends) == 3 and ends[-1] == len(whole)
    for length in range(len(whole) + 1):
        found = [end for _, end in _whole_rows(io.BytesIO(whole[:length]), 5)]
        assert found == [end for end in (header, *ends) if end <= length]


@pytest.mark.parametrize("left", [0, 1, 40, 100, 175, -3, -1])
def test_a_torn_row_is_taken_away_and_written_again(tmp_path: Path, whole: bytes, left: int) -> None:
    with _table(tmp_path) as table:
        (table.folder / "rows.csv").write_bytes(whole[:left])
        _write_all(table)
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_what_a_power_cut_leaves_is_written_again(tmp_path: Path, whole: bytes) -> None:
    with _table(tmp_path) as table:
        (table.folder / "rows.csv").write_bytes(whole[:60] + bytes(4096))
        _write_all(table)
    assert (tmp_path / "out.csv").read_bytes() == whole


def test_resuming_counts_the_films_that_have_a_row(tmp_path: Path, whole: bytes) -> None:
    with _table(tmp_path) as table:
        (table.folder / "rows.csv").write_bytes(whole)
        assert _write_all(table) == (3, 1)


def test_a_run_that_was_stopped_between_its_end_and_the_clearing_away_is_finished(tmp_path: Path, whole: bytes) -> None:
    with _table(tmp_path) as table:
        (table.folder / "finished").touch()
    (tmp_path / "out.csv").write_bytes(whole)
    with _table(tmp_path) as table:
        assert table.is_finished
        table.finish()
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": "b2"}, "model was a1, is b2"),
        ({"task": "covid3"}, "task was pneumonia, is covid3"),
        ({"source": "others"}, "source was films, is others"),
        ({"calibration": "c1", "anyway": True}, "calibration was c0, is c1; anyway was False, is True"),
    ],
)
def test_another_run_is_not_gone_on_with(tmp_path: Path, changed: dict[str, str], told: str) -> None:
    _table(tmp_path).__exit__(None, None, None)
    with pytest.raises(Conflict, match=told):
        _table(tmp_path, dataclasses.replace(RUN, **changed))  # type: ignore[arg-type]


def test_a_source_that_has_changed_is_not_gone_on_with(tmp_path: Path, whole: bytes) -> None:
    with _table(tmp_path) as table:
        (table.folder / "rows.csv").write_bytes(whole)
        with pytest.raises(Conflict, match=r"row 1 is of '1\.png', where '0\.png' stands now"):
            resume(table, iter(["0.png", *NAMES]))
    with _table(tmp_path) as table, pytest.raises(Conflict, match=r"row 3 is of '3\.png', where 'nothing' stands now"):
        resume(table, iter(NAMES[:2]))


def test_two_runs_at_once_do_not_write_one_table(tmp_path: Path) -> None:
    with _table(tmp_path), pytest.raises(Conflict, match="Another process writes"):
        _table(tmp_path)


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(Conflict, match="is there already"):
        _table(tmp_path)


def test_what_cannot_be_written_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadRequest, match=r"out\.csv cannot be written \(Not a directory\)"):
        _table(tmp_path / "file")
    with pytest.raises(BadRequest, match=r"give a file that ends in \.csv or \.parquet"):
        open_table(tmp_path / "out.xlsx", RUN)


def test_a_full_disk_stops_the_run_with_what_it_has(tmp_path: Path) -> None:
    with _table(tmp_path) as table:
        resume(table, iter(NAMES))
        table._file.close()  # type: ignore[attr-defined]
        with Path("/dev/full").open("wb", buffering=0) as full:
            table._file = full  # type: ignore[attr-defined]
            with pytest.raises(BadRequest, match=r"No space left on device.*make room and resume"):
                table.write(ROWS[0])


def test_parquet_is_written_in_parts_and_ends_as_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("cxr.reading.archive_tables.PART_ROWS", 2)
    with open_table(tmp_path / "out.parquet", RUN) as table:
        assert resume(table, iter(NAMES)) == (0, 0)
        for row in ROWS[:2]:
            table.write(row)
        (table.folder / "rows-00000001.parquet.half").write_bytes(b"torn")
    with open_table(tmp_path / "out.parquet", RUN) as table:
        assert _write_all(table) == (2, 0)
    written = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["film"] for row in written] == NAMES
    assert [row["pneumonia"] for row in written] == [0.25, 0.5, None]
    assert list(tmp_path.iterdir()) == [tmp_path / "out.parquet"]
