"""What a network gives for many films: logits, maps of every label, pooled features."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cxr.errors import CxrError, TrainingDataError
from cxr.films.prepare import prepare
from cxr.films.read import read_film
from cxr.learning.ensemble import Ensemble
from cxr.learning.packing import MOST_UNREADABLE
from cxr.learning.tables import FilmTable
from cxr.tasks import Preprocessing

BATCH = 32


@dataclass(frozen=True)
class Seen:
    """What a network gives for N films."""

    logits: NDArray[np.float32]  # (N, K)
    maps: NDArray[np.float32]  # (N, K, h, w), not scaled
    pooled: NDArray[np.float32]  # (N, channels), average-pooled features


def look(net: Ensemble, batches: Iterable[Tensor]) -> Seen:
    """Run prepared films (n, C, S, S) through networks, where these are, in float32."""
    place = next(net.parameters()).device
    with torch.inference_mode():
        seen = [[part.cpu() for part in net(x.to(place))] for x in batches]
    return Seen(*(torch.cat(parts).numpy() for parts in zip(*seen, strict=True)))


def read_and_look(
    net: Ensemble, table: FilmTable, title: str, most_unreadable: float = MOST_UNREADABLE
) -> tuple[FilmTable, Seen]:
    """Films read one by one from their files, as in serving; nothing is taken from a cache.

    Returns the table without the films that cannot be read, each of which is named as it is met.

    Raises:
        TrainingDataError: more than `most_unreadable` (a share) of the films, or all of them, cannot be read.
    """
    unreadable: dict[int, str] = {}
    seen = look(net, read_batches(table, net.preprocessing, title, unreadable, most_unreadable))
    return table.without(unreadable), seen


def read_prepared(table: FilmTable, how: Preprocessing) -> Tensor:
    """All films of a small table (N, C, S, S). Raises of the CxrError family for the first that cannot be read."""
    return torch.from_numpy(np.concatenate([prepare(read_film(path).pixels, how)[0] for path in table.paths]))


def read_batches(
    table: FilmTable, how: Preprocessing, title: str, unreadable: dict[int, str], most_unreadable: float
) -> Iterator[Tensor]:
    """Prepared films; each that cannot be read is entered into `unreadable` with the reason, by its row."""
    films = []
    for row, path in enumerate(tqdm(table.paths, title, unit="film")):
        try:
            films.append(prepare(read_film(path).pixels, how)[0])
        except CxrError as error:
            unreadable[row] = f"{path.name}: {error}"
            tqdm.write(f"left out: {unreadable[row]}")
        if len(films) == BATCH or (films and row == len(table) - 1):
            yield torch.from_numpy(np.concatenate(films)).contiguous(memory_format=torch.channels_last)
            films = []
    if len(unreadable) > most_unreadable * len(table) or len(unreadable) == len(table):
        first = next(iter(unreadable.values()))
        raise TrainingDataError(
            f"{len(unreadable)} of {len(table)} films cannot be read, first {first} (--most-unreadable allows more.)"
        )
