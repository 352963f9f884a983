"""Films read beside the engine: in order, each with its row, whatever becomes of the processes that decode them."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cxr.errors import CxrError
from cxr.films.film import Limits
from cxr.films.read import read_film
from cxr.reading import archive_decoders
from cxr.reading.archive import FilmReading, Plan, _in_order
from cxr.reading.archive_decoders import Decoding, decoders
from cxr.reading.archive_sources import Folder, Source
from cxr.reading.engine import SHIPPED, Engine
from cxr.reading.outcomes import Outcome, film_name, row_of
from cxr.reading.reader import Reader
from cxr.settings import Settings
from tests.phantom import draw_phantom, phantom_dicom, phantom_jpeg, phantom_png
from tests.reading.tiny import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    films = tmp_path / "films"
    films.mkdir()
    (films / "1.jpg").write_bytes(phantom_jpeg(side=256, seed=1))
    (films / "2.png").write_bytes(phantom_png(side=300, seed=2)[:2000])
    (films / "3.dcm").write_bytes(phantom_dicom(seed=3, PatientAge="004Y"))
    (films / "4.png").write_bytes(b"no film")
    (films / "5.png").write_bytes(phantom_png(side=256, seed=5))
    return films


@dataclass(frozen=True)
class Trap(Folder):
    """A folder in which reading one film does what no film should."""

    name: str = ""
    stops: bool = False

    def read(self, name: str, limits: Limits) -> bytes | Path:
        if name.endswith(self.name):
            time.sleep(60) if self.stops else os.kill(os.getpid(), signal.SIGSEGV)
        return super().read(name, limits)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny.onnx", "pneumonia3", [0.0, 2.0, 1.0], [0.0, 2.0, 3.0])


@contextmanager
def _opened(source: Source, model: Path, workers: int = 2, **extras: Path) -> Iterator[FilmReading]:
    plan = Plan(source, Settings(), model=model, **extras)  # type: ignore[arg-type]
    with plan.reading(plan.load(), workers) as reading:
        yield reading


def _rows(reading: FilmReading) -> list[dict[str, str]]:
    return list(reading.rows(enumerate(reading.plan.source.films(), 1)))


def test_rows_are_those_of_the_reader_in_the_order_of_the_source(folder: Path, model: Path) -> None:
    with _opened(Folder(str(folder)), model) as reading:
        rows = _rows(reading)
    reader = Reader.load(model)
    assert rows == [row_of(_answer(reader, name), reader) for name in Folder(str(folder)).films()]
    assert [bool(row["error"]) for row in rows] == [False, True, False, True, False]


def test_a_film_to_which_the_engine_has_no_number_is_a_row_with_the_reason(folder: Path, tmp_path: Path) -> None:
    nothing = tiny_model(tmp_path / "nan.onnx", "pneumonia3", [0.0, np.nan, 1.0], [1.0] * 3)
    with _opened(Folder(str(folder)), nothing) as reading:
        first, *_ = _rows(reading)
    assert "gave numbers that are not finite" in first["error"]
    assert "normal" not in first


def _answer(reader: Reader, name: str) -> Outcome:
    try:
        return Outcome.of(film_name(name), reader.read(read_film(name, frontal_only=False)))
    except CxrError as error:
        return Outcome(film_name(name), error=str(error))


@pytest.mark.parametrize("stops", [False, True])
def test_a_film_that_ends_or_stops_its_process_costs_itself_alone(
    folder: Path, model: Path, stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stops:
        monkeypatch.setattr(archive_decoders, "LONGEST_S", 3.0)
    with _opened(Trap(str(folder), "3.dcm", stops), model, workers=1) as reading:
        rows = _rows(reading)
    assert rows[2]["error"].startswith(
        f"The process that decoded this film {'took longer than 3 s' if stops else 'ended with exit code -11'}."
    )
    assert [bool(row["error"]) for row in rows] == [False, True, True, True, False]


def test_a_process_that_does_not_start_is_no_films_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_decoders, "serve", print)  # a process that ends at once
    with (
        decoders(Decoding(Folder(str(folder)), None, Limits()), 1) as ended,  # type: ignore[arg-type]
        pytest.raises(CxrError, match="could not be started"),
    ):
        ended.decode("1.jpg")


def test_what_nobody_thought_of_is_a_reason_too(folder: Path) -> None:
    broken = Decoding(Folder(str(folder)), None, Limits())  # type: ignore[arg-type]
    assert broken(str(folder / "1.jpg")).error.startswith("The film cannot be read: TypeError: ")


def test_maps_and_overlays_are_named_by_the_films_place(folder: Path, model: Path, tmp_path: Path) -> None:
    with _opened(Folder(str(folder)), model, maps=tmp_path / "maps", overlays=tmp_path / "overlays") as reading:
        list(reading.rows([(2001, str(folder / "5.png")), (2002, str(folder / "4.png"))]))
    (maps,) = (tmp_path / "maps" / "00002").iterdir()
    (overlay,) = (tmp_path / "overlays" / "00002").iterdir()
    assert (maps.name, overlay.name) == ("00002001_5.npz", "00002001_5_viral.png")
    with np.load(maps) as stored:
        assert stored["labels"].tolist() == ["bacterial", "viral", "normal"]
        assert stored["maps"].shape == (3, 2, 2) and stored["maps"].dtype == np.uint8
        assert stored["box"].tolist() == [0, 0, 1, 1]


def test_a_slow_film_holds_up_no_more_than_the_rows_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.reading.archive.AHEAD", 5)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    def slow_at_first(number: int) -> int:
        time.sleep(0.2 * (number == 0))
        return number

    made = _in_order(2, slow_at_first, items())
    assert next(made) == 0
    assert len(taken) == 6
    assert list(made) == list(range(1, 20))


def test_what_is_left_is_not_begun_when_nobody_takes_it() -> None:
    begun: list[int] = []

    def begin(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        return number

    made = _in_order(1, begin, range(500))
    assert next(made) == 0
    made.close()
    assert len(begun) < 20


def test_many_at_once_get_the_answers_of_one_alone() -> None:
    """OpenVINO 2026.4 mixes up 8-bit weights of several streams where they are not folded before."""
    films = np.stack([draw_phantom(224, 224, seed) for seed in range(2)])[:, None].repeat(3, axis=1)
    alone, together = Engine(SHIPPED), Engine(SHIPPED, throughput=True)
    for film in films:
        np.testing.assert_allclose(together.run(film[None]).logits, alone.run(film[None]).logits, atol=1e-3)
