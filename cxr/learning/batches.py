"""Which films a step sees, and how they come to the network."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from cxr.errors import TrainingError
from cxr.films.prepare import fit_square, normalise
from cxr.learning.augment import augment, mixup
from cxr.learning.datasets import PackedFilms
from cxr.tasks import HEALTHY, Preprocessing, Recipe

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Share:
    """Which part of every step's films this process takes: every `world`-th from `rank` on."""

    rank: int = 0
    world: int = 1


def generator(*numbers: int) -> Generator:
    """A generator of its own for (seed, epoch, step, rank), so that a run can be taken up at any step."""
    return Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def draw(labels: NDArray[np.float32], names: Sequence[str], recipe: Recipe, epoch: int) -> Rows:
    """The rows of one epoch, in an order drawn anew, of films with labels (N, K) of these K names."""
    random = generator(recipe.seed, epoch)
    classes = _classes(labels, names)
    rows = SAMPLINGS[recipe.sampling](classes, random)
    normal = np.flatnonzero(classes[rows, -1])
    left_out = normal[_permutation(len(normal), random)][round(len(normal) * recipe.normal_share) :]
    kept = np.delete(rows, left_out)
    return np.asarray(kept[_permutation(len(kept), random)])


def _classes(labels: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.bool_]:
    """(N, classes): which findings a film is known to have and, last, whether it is known to have none of them all.

    A label of `tasks.HEALTHY` is no finding. A film with an unknown label and no known finding is of no class.
    """
    findings = labels[:, [name not in HEALTHY for name in names]]
    return np.concatenate([findings == 1, (findings == 0).all(axis=1, keepdims=True)], axis=1)


def _uniform(classes: NDArray[np.bool_], random: Generator) -> Rows:
    """Each film once."""
    del random
    return np.arange(len(classes))


def _balanced(classes: NDArray[np.bool_], random: Generator) -> Rows:
    """As many draws as films, with replacement; each class, no finding among them, is drawn alike.

    A film of several classes weighs as their mean, a film of no known class as the mean film.
    """
    member = classes.astype(np.float32)
    many = member.sum(axis=1)
    weights = member @ (1 / np.maximum(member.sum(axis=0), 1)) / np.maximum(many, 1)
    weights[many == 0] = weights[many > 0].mean() if many.any() else 1
    return torch.multinomial(torch.from_numpy(weights), len(classes), replacement=True, generator=random).numpy()


# name -> (classes (N, C) of `_classes`, generator) -> rows
SAMPLINGS: dict[str, Callable[[NDArray[np.bool_], Generator], Rows]] = {"uniform": _uniform, "balanced": _balanced}


def _permutation(count: int, random: Generator) -> Rows:
    return torch.randperm(count, generator=random).numpy()


def check_shares(recipe: Recipe, world: int) -> None:
    """Raises TrainingError unless each of `world` processes has as many films in each part of a step."""
    parts = world * recipe.accumulate
    if world > 1 and recipe.batch % parts:
        raise TrainingError(
            f"--batch {recipe.batch} cannot be shared out evenly among {world} processes with --accumulate "
            f"{recipe.accumulate}; it must be a multiple of {parts}."
        )


def steps_of(order: Rows, recipe: Recipe, share: Share) -> list[Rows]:
    """The rows of this process for each step. Every process gets as many; up to `world` - 1 films are left out."""
    even = order[: len(order) // share.world * share.world]
    steps = [even[begin : begin + recipe.batch] for begin in range(0, len(even), recipe.batch)]
    return [rows[share.rank :: share.world] for rows in steps]


def resident(films: PackedFilms, device: torch.device) -> Tensor | None:
    """All films (N, side, side) as uint8 in the memory of a GPU, where they take no more than half of what is free."""
    if device.type != "cuda" or films.squares.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return None
    return torch.from_numpy(np.array(films.squares)).to(device)


def training_batch(
    films: PackedFilms, rows: Rows, recipe: Recipe, how: Preprocessing, random: Generator, held: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Augmented, normalised films (n, C, S, S) with labels (n, K).

    They are made on the CPU, or on the device of `held`, the `resident` films: from the seed of `random` too, but with
    that device's draws.
    """
    rows = np.sort(rows)  # so that the memory map is read forwards
    if held is None:
        squares = torch.from_numpy(films.squares[rows].astype(np.float32) / 255)
    else:
        squares = held[torch.from_numpy(rows).to(held.device)].float() / 255
        random = Generator(held.device).manual_seed(random.initial_seed())
    moved = augment(squares[:, None], how.size, recipe.augmentation, random)
    labels = torch.from_numpy(films.labels[rows]).to(moved.device)
    moved, labels = mixup(moved, labels, recipe.augmentation.mixup, random)
    return _normalised(moved, how), labels


def _normalised(films: Tensor, how: Preprocessing) -> Tensor:
    """`films.prepare.normalise` for tensors (n, 1, S, S) of any device; on the CPU it is that."""
    if films.device.type == "cpu":
        return torch.from_numpy(normalise(films[:, 0].numpy(), how))
    mean, std = (torch.tensor(numbers, device=films.device).view(1, -1, 1, 1) for numbers in (how.mean, how.std))
    return (films - mean) / std


def prepared(films: PackedFilms, how: Preprocessing, batch: int = 64) -> Iterator[Tensor]:
    """Batches (n, C, S, S) of packed films, prepared as in serving; never augmented."""
    for begin in range(0, len(films), batch):
        squares = films.squares[begin : begin + batch].astype(np.float32) / 255
        small = np.stack([fit_square(square, how.size, how.fit)[0] for square in squares])
        yield torch.from_numpy(normalise(small, how)).contiguous(memory_format=torch.channels_last)
