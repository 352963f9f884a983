"""The film check is trained on films in every state, and on what is no film."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cxr.checkfile import ROTATED, SIGNS, CheckInfo
from cxr.errors import ModelFileError
from cxr.learning.check_command import run
from cxr.learning.check_net import SIZE, CheckNet, Served, export_check
from cxr.learning.check_pictures import DRAWN, cut_out, pool, read_pictures, without
from cxr.learning.check_training import Squares, _threshold, loss_of, train
from cxr.learning.check_variants import Shares, Variants, make_variants
from tests.phantom import draw_phantom, phantom_jpeg

NOTHING = Shares(0, 0, 0, 0)
FILMS = np.stack([np.round(draw_phantom(128, 128, seed) * 255).astype(np.uint8) for seed in range(4)])


def _variants(**shares: float) -> Variants:
    squares = torch.from_numpy(FILMS[:1].repeat(16, axis=0)).float()[:, None] / 255
    return make_variants(squares, 64, Shares(**{**vars(NOTHING), **shares}), torch.Generator().manual_seed(0))


def test_an_untouched_film_is_told_as_one() -> None:
    made = _variants()
    assert made.films.shape == (16, 1, 64, 64)
    assert made.films.min() >= 0 and made.films.max() <= 1
    assert not any(told.any() for told in (made.inverted, made.mirrored, made.cut_off, made.turns))


@pytest.mark.parametrize("name", ["inverted", "mirrored", "cut_off"])
def test_what_is_done_to_a_film_is_told(name: str) -> None:
    made = _variants(**{name: 1.0})
    assert getattr(made, name).all()
    assert [other for other in ("inverted", "mirrored", "cut_off") if getattr(made, other).any()] == [name]


def test_turns_are_told_in_quarters_and_all_occur() -> None:
    assert set(_variants(turned=1.0).turns.tolist()) == {1, 2, 3}


def test_variants_follow_from_the_generator_alone() -> None:
    one, other = _variants(turned=0.5, cut_off=0.5), _variants(turned=0.5, cut_off=0.5)
    assert torch.equal(one.films, other.films)


@pytest.mark.parametrize("kind", DRAWN)
def test_drawn_pictures_are_grey_and_not_flat(kind: str) -> None:
    picture = DRAWN[kind](np.random.default_rng(0))
    assert picture.dtype == np.float32 and picture.min() >= 0 and picture.max() <= 1
    assert picture.std() > 0.01


def test_a_pool_follows_from_its_seed() -> None:
    pictures = [np.eye(60, dtype=np.float32)]
    one, other = (pool(pictures, FILMS, 12, 32, seed=3) for _ in "ab")
    assert one.shape == (12, 32, 32)
    np.testing.assert_array_equal(one, other)


def test_parts_of_a_picture_stay_in_its_range() -> None:
    random = np.random.default_rng(0)
    parts = [cut_out(draw_phantom(80, 120), random) for _ in range(20)]
    assert all(part.min() >= 0 and part.max() <= 1 and min(part.shape) >= 16 for part in parts)


def test_copies_of_held_out_pictures_are_left_out_also_in_another_size(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(phantom_jpeg(300))
    (tmp_path / "same.jpg").write_bytes(phantom_jpeg(180, quality=60))
    cv2.imwrite(str(tmp_path / "other.png"), np.tile(np.arange(0, 250, 5, np.uint8), (50, 1)))
    found = read_pictures(tmp_path)
    assert list(without(found, [])) == ["one.jpg", "other.png"]
    assert list(without(found, [found["one.jpg"]])) == ["other.png"]


def test_pictures_are_only_asked_whether_they_are_films() -> None:
    made, logits = _variants(), torch.zeros(20, 8)
    loss = loss_of(logits, made)
    logits[16:, 1:] = 9.0
    assert loss_of(logits, made) == loss
    logits[16:, 0] = 9.0
    assert loss_of(logits, made) < loss


def test_a_threshold_lies_half_way_between_good_and_bad_or_where_the_allowed_share_ends() -> None:
    good = np.array([0.1] * 999 + [0.2])
    assert _threshold(good, np.full(100, 0.9), 0.001) == pytest.approx(0.5, abs=1e-3)
    assert _threshold(good, np.full(100, 0.05), 0.001) == pytest.approx(0.1, abs=1e-3)


def test_a_network_is_trained_alike_each_time_and_its_file_says_what_it_needs(tmp_path: Path) -> None:
    squares = Squares(FILMS, pool([np.eye(60, dtype=np.float32)], FILMS, 8, 128, 0))
    one, other = (train(squares, steps=2, lr=1e-3, seed=1) for _ in "ab")
    films = torch.rand(3, 1, SIZE, SIZE)
    assert torch.equal(one(films), other(films))
    thresholds = dict.fromkeys((*SIGNS, ROTATED), 0.5)
    export_check(one, CheckInfo(SIZE, thresholds), tmp_path / "check.onnx")
    assert (tmp_path / "check.onnx").stat().st_size < 300_000
    signs, turns = Served(one)(films)
    assert signs.shape == turns.shape == (3, 4)
    torch.testing.assert_close(turns.sum(1), torch.ones(3))


def test_exposure_does_not_matter_to_the_network() -> None:
    net, film = CheckNet().eval(), torch.from_numpy(FILMS[:1, :SIZE, :SIZE]).float()[:, None] / 255
    torch.testing.assert_close(net(film), net(film * 0.8 + 0.1), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 2}', '{"schema": 1, "size": 96, "thresholds": {}}'])
def test_metadata_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError):
        CheckInfo.from_json(text)


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(["--data", str(tmp_path), "--pictures", str(tmp_path), "--out", str(tmp_path / "check.onnx")])
    assert status == 1
    assert "give the folder of a data set with --data" in capsys.readouterr().err
