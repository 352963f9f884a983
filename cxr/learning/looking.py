"""What a network gives for many films: logits, Grad-CAM of every label, pooled features."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from cxr.errors import CxrError
from cxr.films.prepare import prepare
from cxr.films.read import read_film
from cxr.learning.explain import gradcam
from cxr.learning.models import FilmNet
from cxr.learning.tables import FilmTable
from cxr.tasks import Preprocessing

BATCH = 32


@dataclass(frozen=True)
class Seen:
    """What a network gives for N films."""

    logits: NDArray[np.float32]  # (N, K)
    maps: NDArray[np.float32]  # (N, K, h, w), not scaled
    pooled: NDArray[np.float32]  # (N, channels), average-pooled features


def look(net: FilmNet, batches: Iterable[Tensor]) -> Seen:
    """Run prepared films (n, C, S, S) through a network, in float32."""
    net.eval()
    seen = []
    with torch.inference_mode():
        for x in batches:
            features = net.features(x)
            seen.append((net.head(features), gradcam(net, features), features.mean((2, 3))))
    return Seen(*(torch.cat(parts).numpy() for parts in zip(*seen, strict=True)))


def read_and_look(net: FilmNet, table: FilmTable, how: Preprocessing, title: str) -> tuple[FilmTable, Seen]:
    """Films read one by one from their files, as in serving; nothing is taken from a cache.

    Returns the table without the films that cannot be read, each of which is named as it is met.
    """
    unreadable: list[int] = []
    seen = look(net, _read_batches(table, how, title, unreadable))
    return table.without(unreadable), seen


def _read_batches(table: FilmTable, how: Preprocessing, title: str, unreadable: list[int]) -> Iterator[Tensor]:
    films = []
    for row, path in enumerate(tqdm(table.paths, title, unit="film")):
        try:
            films.append(prepare(read_film(path).pixels, how)[0])
        except CxrError as error:
            unreadable.append(row)
            tqdm.write(f"left out: {path.name}: {error}")
        if len(films) == BATCH or (films and row == len(table) - 1):
            yield torch.from_numpy(np.concatenate(films)).contiguous(memory_format=torch.channels_last)
            films = []
