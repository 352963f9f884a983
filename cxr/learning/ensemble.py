"""Trained networks that answer as one: the mean of their logits, each at its own size, of the mirrored film too."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxr.errors import TrainingError
from cxr.learning import checkpoints
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.explain import METHODS, Method
from cxr.learning.models import FilmNet
from cxr.modelfile import DEFAULT_MAPS
from cxr.tasks import TASKS, Recipe


class Answers(NamedTuple):
    """What networks give for N films."""

    logits: Tensor  # (N, K)
    maps: Tensor  # (N, K, h, w), by the method of the networks, not scaled
    pooled: Tensor  # (N, channels), average-pooled features


class Ensemble(nn.Module):
    """One or more networks of one task, and with `flip` each on the mirrored film too.

    Films come at the largest of the members' sizes; a member of another size shrinks them itself, so that tests, the
    calibration and an exported file all see the same. Members are prepared alike in all but the size.
    The maps, by the method `maps` of METHODS, are the mean of the members', on the finest of their grids, each cut
    below zero by itself. The pooled features stand side by side.

    Raises:
        TrainingError: the members are of more than one task, or take films of one and of three channels.
        ModelFileError: a checkpoint's weights are not those of its recipe.
    """

    def __init__(self, members: Sequence[Checkpoint], flip: bool = False, maps: str = DEFAULT_MAPS):
        super().__init__()
        _check_alike(members)
        self.members = nn.ModuleList(member.network() for member in members)
        self.records = tuple(dataclasses.replace(member, tensors={}) for member in members)  # all but the weights
        self.flip = flip
        self.maps = maps
        self.task = TASKS[members[0].task]
        self.preprocessing = max((member.preprocessing() for member in members), key=lambda how: how.size)
        for size in {recipe.size for recipe in self.recipes} - {self.preprocessing.size}:
            self.register_buffer(f"shrink{size}", _shrinking(self.preprocessing.size, size))
        self.eval()

    @classmethod
    def load(cls, runs_or_files: Sequence[Path], flip: bool = False, maps: str = DEFAULT_MAPS) -> "Ensemble":
        """Of run folders, each of which stands for its best checkpoint, or of checkpoints. Raises also as `load`."""
        return cls([checkpoints.load(checkpoints.find(path)) for path in runs_or_files], flip, maps)

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        return tuple(record.recipe for record in self.records)

    @property
    def record(self) -> dict[str, Any]:
        """The training record of a single network as it is, else those of all members."""
        records = [_of_member(member) for member in self.records]
        flip = {"flip": True} if self.flip else {}
        return {**records[0], **flip} if len(records) == 1 else {"members": records, **flip}

    def describe(self) -> str:
        """`densenet121, avg pooling` of each member, and whether the mirrored film is seen."""
        each = " + ".join(f"{recipe.arch}, {recipe.pooling} pooling" for recipe in self.recipes)
        return f"{each}, mirrored film too" if self.flip else each

    def forward(self, films: Tensor) -> Answers:
        """Prepared films (N, C, S, S)."""
        seen = self._look(films)
        if not self.flip:
            return seen
        mirrored = self._look(films.flip(3))
        return Answers(
            (seen.logits + mirrored.logits) / 2,
            (seen.maps + mirrored.maps.flip(3)) / 2,
            (seen.pooled + mirrored.pooled) / 2,
        )

    def _look(self, films: Tensor) -> Answers:
        pairs = zip(self.members, self.recipes, strict=True)
        method = METHODS[self.maps]
        each = [_answers(net, self._sized(films, recipe.size), method) for net, recipe in pairs]  # type: ignore[arg-type]
        if len(each) == 1:
            return each[0]
        side = max(one.maps.shape[-1] for one in each)
        return Answers(
            torch.stack([one.logits for one in each]).mean(0),
            torch.stack([_enlarged(one.maps, side) for one in each]).mean(0),
            torch.cat([one.pooled for one in each], 1),
        )

    def _sized(self, films: Tensor, size: int) -> Tensor:
        """Films (N, C, S, S) at the size of a member."""
        if size == self.preprocessing.size:
            return films
        shrink = self.get_buffer(f"shrink{size}")
        return shrink @ films @ shrink.T


def _check_alike(members: Sequence[Checkpoint]) -> None:
    tasks = sorted({member.task for member in members})
    if len(tasks) > 1:
        raise TrainingError(f"The runs are of tasks {' and '.join(tasks)}; those of one answer together.")
    if len({member.preprocessing().channels for member in members}) > 1:
        raise TrainingError("Some of the runs take films of one channel, others of three; those alike answer together.")


def _of_member(member: Checkpoint) -> dict[str, Any]:
    return {**member.record, "recipe": dataclasses.asdict(member.recipe), "epoch": member.epoch}


def _answers(net: FilmNet, films: Tensor, method: Method) -> Answers:
    features = net.features(films)
    return Answers(net.head(features), method(net, features), features.mean((2, 3)))


def _shrinking(side: int, smaller: int) -> Tensor:
    """(smaller, side): each row the weights of one pixel of `interpolate(..., antialias=True)`, along one axis.

    As a matrix because OpenVINO 2026 reads the exporter's Resize as if it were not antialiased.
    """
    size = smaller, side
    return F.interpolate(torch.eye(side)[None, None], size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def _enlarged(maps: Tensor, side: int) -> Tensor:
    """(N, K, h, w) -> (N, K, side, side), none of them larger."""
    if maps.shape[-1] == side:
        return maps
    return F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
