"""What a step sees: which films are drawn, how they are shared out, and how they are changed."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from cxr.errors import TrainingError
from cxr.films.prepare import prepare
from cxr.learning.augment import augment, jpeg, mixup
from cxr.learning.batches import Share, check_shares, draw, generator, prepared, steps_of, training_batch
from cxr.learning.datasets import PackedFilms
from cxr.tasks import NO_AUGMENTATION, TASKS, Augmentation, Preprocessing, Recipe

NAMES = ("Mass", "Edema")
NAN = np.nan


@pytest.fixture
def films() -> PackedFilms:
    random = np.random.default_rng(0)
    return PackedFilms(random.integers(0, 255, (8, 64, 64), np.uint8), np.eye(8, 2, dtype=np.float32))


def test_an_epoch_draws_a_share_of_the_films_without_finding_and_mixes_them() -> None:
    labels = np.repeat([[0.0], [1.0]], 500, axis=0).astype(np.float32)
    rows = draw(labels, NAMES[: labels.shape[1]], Recipe(normal_share=0.4), epoch=0)
    assert len(set(rows)) == len(rows) == 700
    assert (rows < 500).sum() == 200
    assert 0.2 < (rows[:350] < 500).mean() < 0.37  # both halves of the epoch hold both kinds


def test_balanced_sampling_draws_each_class_alike() -> None:
    labels = np.zeros((1000, 2), np.float32)
    labels[:10, 0], labels[10:200, 1] = 1, 1
    rows = draw(labels, NAMES[: labels.shape[1]], Recipe(sampling="balanced"), epoch=0)
    assert len(rows) == 1000
    counts = (rows < 10).sum(), ((rows >= 10) & (rows < 200)).sum(), (rows >= 200).sum()
    assert all(270 < count < 400 for count in counts)


def test_processes_share_each_step_without_overlap() -> None:
    order = np.arange(11)
    one, two = (steps_of(order, Recipe(batch=4), Share(rank, 2)) for rank in (0, 1))
    assert [rows.tolist() for rows in one] == [[0, 2], [4, 6], [8]]
    assert [rows.tolist() for rows in two] == [[1, 3], [5, 7], [9]]


# A normal film, one of which not all is known, and one with a finding, of tasks that name the healthy and of others.
NORMAL_UNKNOWN_SICK = {
    "chestxray8": ([0] * 8, [0] * 7 + [NAN], [1] + [0] * 7),
    "chexpert14": ([1] + [0] * 13, [1] + [0] * 12 + [NAN], [0, 1] + [0] * 12),
    "pneumonia3": ([0, 0, 1], [NAN] * 3, [0, 1, 0]),
    "pneumonia": ([0], [NAN], [1]),
}


@pytest.mark.parametrize("task", NORMAL_UNKNOWN_SICK)
def test_only_films_known_to_be_normal_are_left_out(task: str) -> None:
    labels = np.repeat(np.array(NORMAL_UNKNOWN_SICK[task], np.float32), 10, axis=0)
    rows = draw(labels, TASKS[task].labels, Recipe(normal_share=0.2), epoch=0)
    assert sorted(rows[rows < 10]) != [] and (rows < 10).sum() == 2
    assert sorted(rows[rows >= 10]) == list(range(10, 30))


def test_balanced_sampling_takes_an_unknown_film_for_no_class() -> None:
    labels = np.repeat(np.array([[0, 0], [NAN, 0], [1, 0], [1, NAN]], np.float32), [5, 500, 20, 475], axis=0)
    rows = draw(labels, NAMES, Recipe(sampling="balanced"), epoch=0)
    normal, unknown, mass = (rows < 5).sum(), ((rows >= 5) & (rows < 505)).sum(), (rows >= 505).sum()
    assert len(rows) == 1000
    assert 420 < unknown < 580  # as the mean film
    assert all(190 < count < 310 for count in (normal, mass))  # the rest, half and half


def test_balanced_sampling_draws_normal_as_one_class_where_it_has_a_label() -> None:
    labels = np.repeat(np.eye(3, dtype=np.float32), [10, 90, 900], axis=0)
    rows = draw(labels, TASKS["pneumonia3"].labels, Recipe(sampling="balanced"), epoch=0)
    counts = (rows < 10).sum(), ((rows >= 10) & (rows < 100)).sum(), (rows >= 100).sum()
    assert all(270 < count < 400 for count in counts)


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_each_epoch_draws_anew_and_the_same_epoch_the_same(sampling: str) -> None:
    labels = np.eye(64, 2, dtype=np.float32)
    recipe = Recipe(sampling=sampling)
    first, again, second = (draw(labels, NAMES, recipe, epoch).tolist() for epoch in (0, 0, 1))
    assert first == again
    assert first != second
    assert first != draw(labels, NAMES, dataclasses.replace(recipe, seed=1), 0).tolist()


def test_a_film_looks_different_in_each_step_epoch_and_process(films: PackedFilms) -> None:
    rows, how = np.arange(4), Preprocessing(size=48)

    def batch(*numbers: int) -> torch.Tensor:
        return training_batch(films, rows, Recipe(), how, generator(0, *numbers))[0]

    first = batch(0, 0, 0)
    assert torch.equal(first, batch(0, 0, 0))
    for epoch_step_rank in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        other = batch(*epoch_step_rank)
        assert all(not torch.equal(first[i], other[i]) for i in range(4))


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused() -> None:
    check_shares(Recipe(batch=5, accumulate=2), world=1)
    check_shares(Recipe(batch=12, accumulate=2), world=3)
    with pytest.raises(TrainingError, match=r"--batch 9 .* among 2 processes with --accumulate 2; .* multiple of 4"):
        check_shares(Recipe(batch=9, accumulate=2), world=2)


def test_each_training_batch_differs_and_each_film_in_it() -> None:
    random = torch.Generator().manual_seed(0)
    same = torch.rand(1, 1, 64, 64, generator=random).expand(4, 1, 64, 64)
    first, second = (augment(same, 48, Augmentation(), random) for _ in range(2))
    assert first.shape == (4, 1, 48, 48)
    assert not torch.equal(first, second)
    assert all(not torch.equal(first[0], first[i]) for i in range(1, 4))
    assert first.min() >= 0
    assert first.max() <= 1


def test_augmentation_is_decided_by_the_generator() -> None:
    films = torch.rand(2, 1, 64, 64)
    one, same = (augment(films, 48, Augmentation(), generator(5)) for _ in range(2))
    assert torch.equal(one, same)


def test_packed_films_are_prepared_as_in_serving(films: PackedFilms) -> None:
    how = Preprocessing(size=32)
    (batch,) = prepared(films, how)
    expected, _ = prepare(films.squares[5].astype(np.float32) / 255, how)
    np.testing.assert_array_equal(batch[5].numpy(), expected[0])


def test_without_augmentation_a_film_stays_as_it_is() -> None:
    film = torch.rand(2, 1, 32, 32).clamp(min=1e-4)
    torch.testing.assert_close(augment(film, 32, NO_AUGMENTATION, generator(0)), film, atol=1e-5, rtol=0)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Augmentation) if f.name != "mixup"])
def test_each_change_alone_changes_the_film(field: str) -> None:
    film = torch.rand(4, 1, 32, 32, generator=generator(1)).clamp(min=1e-4)
    how = dataclasses.replace(NO_AUGMENTATION, **{field: 0.9})
    assert (augment(film, 32, how, generator(0)) - film).abs().max() > 0.01


def test_a_film_is_stretched_as_far_as_said_and_keeps_its_area() -> None:
    rows, columns = np.mgrid[:96, :96] - 47.5
    disc = torch.from_numpy((rows**2 + columns**2 < 24**2).astype(np.float32)).expand(64, 1, 96, 96)
    how = dataclasses.replace(NO_AUGMENTATION, stretch=0.6)
    stretched = augment(disc, 96, how, generator(0))[:, 0] > 0.5
    width, height = (stretched.any(axis).sum(1) for axis in (1, 2))
    ratios = torch.log(width / height)
    assert ratios.min() < -0.4 and ratios.max() > 0.4 and ratios.abs().max() < 0.66  # whole pixels
    torch.testing.assert_close(stretched.sum((1, 2)).float(), disc.sum((1, 2, 3)), rtol=0.05, atol=0)


def test_mixup_blends_films_and_labels_by_the_same_share() -> None:
    films = torch.arange(4.0).view(4, 1, 1, 1)
    blended, labels = mixup(films, films.view(4, 1), alpha=1.0, generator=generator(0))
    torch.testing.assert_close(blended.view(4, 1), labels)
    assert not torch.equal(labels, films.view(4, 1))


@pytest.mark.parametrize(("quality", "side"), [(30, 64), (50, 61), (70, 64)])
def test_jpeg_loses_what_a_jpeg_file_loses(quality: int, side: int) -> None:
    rows, columns = np.mgrid[:side, :side]
    film = (120 + 60 * np.sin(rows / 5) * np.cos(columns / 3) + rows % 7).astype(np.uint8)
    _, file = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    lossy = jpeg(torch.from_numpy(film / np.float32(255))[None, None], torch.full((1, 1, 1, 1), float(quality)))
    differences = np.abs(lossy[0, 0].numpy() * 255 - expected)
    assert differences.mean() < 0.4  # a file holds whole grey levels, and was computed in integers
    assert np.abs(film - expected.astype(np.float32)).mean() > 3 * differences.mean()
