"""Which films a step sees, and how they come to the network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from cxr.films.prepare import fit_square, normalise
from cxr.learning.augment import augment, mixup
from cxr.learning.datasets import PackedFilms
from cxr.tasks import Preprocessing, Recipe

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Share:
    """Which part of every step's films this process takes: every `world`-th from `rank` on."""

    rank: int = 0
    world: int = 1


def generator(*numbers: int) -> Generator:
    """A generator of its own for (seed, epoch, step, rank), so that a run can be taken up at any step."""
    return Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def draw(labels: NDArray[np.float32], recipe: Recipe, epoch: int) -> Rows:
    """The rows of one epoch, in an order drawn anew."""
    random = generator(recipe.seed, epoch)
    rows = SAMPLINGS[recipe.sampling](labels, random)
    normal = np.flatnonzero(np.nansum(labels[rows], axis=1) == 0)
    left_out = normal[_permutation(len(normal), random)][round(len(normal) * recipe.normal_share) :]
    kept = np.delete(rows, left_out)
    return np.asarray(kept[_permutation(len(kept), random)])


def _uniform(labels: NDArray[np.float32], random: Generator) -> Rows:
    """Each film once."""
    del random
    return np.arange(len(labels))


def _balanced(labels: NDArray[np.float32], random: Generator) -> Rows:
    """As many draws as films, with replacement; each class, no finding among them, is drawn alike.

    A film of several classes weighs as their mean.
    """
    none = np.nansum(labels, axis=1, keepdims=True) == 0
    member = np.concatenate([np.nan_to_num(labels), none], axis=1)
    weights = member @ (1 / np.maximum(member.sum(axis=0), 1)) / member.sum(axis=1)
    return torch.multinomial(torch.from_numpy(weights), len(labels), replacement=True, generator=random).numpy()


SAMPLINGS: dict[str, Callable[[NDArray[np.float32], Generator], Rows]] = {"uniform": _uniform, "balanced": _balanced}


def _permutation(count: int, random: Generator) -> Rows:
    return torch.randperm(count, generator=random).numpy()


def steps_of(order: Rows, recipe: Recipe, share: Share) -> list[Rows]:
    """The rows of this process for each step. Every process gets as many; up to `world` - 1 films are left out."""
    even = order[: len(order) // share.world * share.world]
    steps = [even[begin : begin + recipe.batch] for begin in range(0, len(even), recipe.batch)]
    return [rows[share.rank :: share.world] for rows in steps]


def training_batch(
    films: PackedFilms, rows: Rows, recipe: Recipe, how: Preprocessing, random: Generator
) -> tuple[Tensor, Tensor]:
    """Augmented, normalised films (n, C, S, S) with labels (n, K)."""
    rows = np.sort(rows)  # so that the memory map is read forwards
    squares = torch.from_numpy(films.squares[rows].astype(np.float32) / 255)
    moved = augment(squares[:, None], how.size, recipe.augmentation, random)
    moved, labels = mixup(moved, torch.from_numpy(films.labels[rows]), recipe.augmentation.mixup, random)
    return torch.from_numpy(normalise(moved[:, 0].numpy(), how)), labels


def prepared(films: PackedFilms, how: Preprocessing, batch: int = 64) -> Iterator[Tensor]:
    """Batches (n, C, S, S) of packed films, prepared as in serving; never augmented."""
    for begin in range(0, len(films), batch):
        squares = films.squares[begin : begin + batch].astype(np.float32) / 255
        small = np.stack([fit_square(square, how.size, how.fit)[0] for square in squares])
        yield torch.from_numpy(normalise(small, how)).contiguous(memory_format=torch.channels_last)
