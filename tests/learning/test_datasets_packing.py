"""The packed cache: films are decoded once, whole or not at all."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr.errors import TrainingDataError
from cxr.films.prepare import fit_square
from cxr.films.read import read_film
from cxr.learning import packing
from cxr.learning.datasets import FilmTable, pack, read_nih

LABELS = ("Effusion", "Mass", "Nodule")


@pytest.fixture
def damaged(film: bytes, tmp_path: Path) -> FilmTable:
    """Four films; the second is cut off, the third is no film at all."""
    contents = {"a.png": film, "cut.png": film[:500], "text.png": b"no film", "d.png": film}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    labels = np.array([[0], [1], [0], [1]], np.float32)
    return FilmTable(("Mass",), tuple(tmp_path / name for name in contents), labels, np.array(list("1234")))


def test_packed_films_are_the_films_that_serving_sees(nih_folder: Path, tmp_path: Path) -> None:
    table = read_nih(nih_folder, "test", LABELS)
    packed = pack(table, tmp_path, "pad")
    expected, _ = fit_square(read_film(table.paths[3]).pixels, 256, "pad")
    assert packed.squares.shape == (8, 256, 256)
    np.testing.assert_allclose(packed.squares[3] / 255, expected, atol=0.5 / 255)


def test_films_are_decoded_once(nih_folder: Path, tmp_path: Path) -> None:
    table = read_nih(nih_folder, "test", LABELS)
    pack(table, tmp_path, "pad")
    (file,) = tmp_path.glob("*.npy")
    before = file.stat().st_mtime_ns
    pack(table, tmp_path, "pad")
    assert [file.stat().st_mtime_ns for file in tmp_path.iterdir()] == [before]


def test_unreadable_films_stop_packing_and_leave_nothing(damaged: FilmTable, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"2 of 4 films cannot be read, first cut\.png: "):
        pack(damaged, tmp_path / "cache", "pad")
    assert not list((tmp_path / "cache").iterdir())


def test_a_few_unreadable_films_are_left_out_and_named(damaged: FilmTable, tmp_path: Path) -> None:
    packed = pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)
    whole = pack(damaged.take(np.array([0, 3])), tmp_path / "cache", "pad")
    np.testing.assert_array_equal(packed.squares, whole.squares)
    assert packed.labels.tolist() == [[0], [1]]
    assert list(packed.left_out) == [1, 2]
    assert damaged.without(packed.left_out).patients.tolist() == ["1", "4"]


def test_what_was_left_out_is_remembered_with_the_cache(damaged: FilmTable, tmp_path: Path) -> None:
    first = pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)
    second = pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)
    assert second.left_out == first.left_out
    with pytest.raises(TrainingDataError, match="2 of 4 films cannot be read"):
        pack(damaged, tmp_path / "cache", "pad")


def test_a_cache_that_forgot_what_was_left_out_is_refused(damaged: FilmTable, tmp_path: Path) -> None:
    packed = pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)
    (file,) = (tmp_path / "cache").iterdir()
    os.truncate(file, packed.squares.offset + packed.squares.nbytes)
    with pytest.raises(TrainingDataError, match=r"npy holds 2 films, but of 4 it names 0 as left out; delete it"):
        pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)


def test_a_cache_of_an_earlier_version_names_beside_it_what_was_left_out(damaged: FilmTable, tmp_path: Path) -> None:
    packed = pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)
    (file,) = (tmp_path / "cache").iterdir()
    os.truncate(file, packed.squares.offset + packed.squares.nbytes)
    file.with_suffix(".json").write_text(json.dumps({"left_out": packed.left_out}))
    assert pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5).left_out == packed.left_out


def test_two_may_pack_the_same_films_at_once(
    damaged: FilmTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One begins and ends while the other is at its films."""
    decode, inner = packing._decode_all, []

    def decode_all(*given: Any) -> dict[int, str]:
        if not inner:
            inner.append(None)
            inner[0] = pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)
        return decode(*given)

    monkeypatch.setattr(packing, "_decode_all", decode_all)
    outer = pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.5)
    np.testing.assert_array_equal(outer.squares, inner[0].squares)
    assert outer.left_out == inner[0].left_out
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_film_that_has_gone_is_unreadable(damaged: FilmTable, tmp_path: Path) -> None:
    (tmp_path / "a.png").unlink()
    assert 0 in pack(damaged, tmp_path / "cache", "pad", most_unreadable=0.75).left_out


def test_a_full_disk_is_said_in_one_sentence_and_leaves_nothing(
    damaged: FilmTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(TrainingDataError, match=r"0\.00026 GB of 4 packed films .* \(No space left on device\); make"):
        pack(damaged, tmp_path / "cache", "pad")
    assert not list((tmp_path / "cache").iterdir())


def test_a_stop_by_hand_leaves_nothing(damaged: FilmTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cxr.learning.packing.read_film", stopped)
    with pytest.raises(KeyboardInterrupt):
        pack(damaged, tmp_path / "cache", "pad")
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_folder_that_is_a_file_is_refused(damaged: FilmTable, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"cannot be written to .*a\.png"):
        pack(damaged, tmp_path / "a.png", "pad")


def test_no_films_are_refused(damaged: FilmTable, tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="There are no films to pack"):
        pack(damaged.take(np.array([], np.intp)), tmp_path, "pad")
