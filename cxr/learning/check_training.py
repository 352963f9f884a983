"""Training of the film check: films in every state against what is no film, and thresholds from validation films."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F
from tqdm import tqdm

from cxr.checkfile import ROTATED, SIGNS
from cxr.films.prepare import fit_square
from cxr.learning.check_net import SIZE, CheckNet, Served
from cxr.learning.check_variants import Shares, Variants, make_variants, spoiled

SOURCE_SIDE = 128  # pixels at which films and pictures are kept
FILMS, PICTURES = 96, 64  # in a step
# Share of good validation films that may have a sign: one that refuses, one that only warns.
REFUSED_SHARE, WARNED_SHARE = 0.001, 0.01
# Share of the validation pictures that must be found to be no films; most are parts of pictures, harder than whole ones
PICTURES_FOUND = 0.9
WARNINGS = ("mirrored", "cut_off")
UPRIGHT = Shares(inverted=0, mirrored=0, cut_off=0, turned=0)
# sign -> changes under which a film has it
BAD: dict[str, Shares] = {
    "inverted": Shares(inverted=1, mirrored=0, cut_off=0, turned=0),
    "mirrored": Shares(inverted=0, mirrored=1, cut_off=0, turned=0),
    "cut_off": Shares(inverted=0, mirrored=0, cut_off=1, turned=0),
    ROTATED: Shares(inverted=0, mirrored=0, cut_off=0, turned=1),
}


@dataclass(frozen=True)
class Squares:
    """What is learned from: (N, 128, 128) uint8 each."""

    films: NDArray[np.uint8]
    pictures: NDArray[np.uint8]


def train(squares: Squares, steps: int, lr: float, seed: int) -> CheckNet:
    """A network that saw `steps` batches of FILMS films and PICTURES pictures."""
    torch.manual_seed(seed)  # of the first weights and of dropout
    generator = torch.Generator().manual_seed(seed)
    net = CheckNet().train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    progress = tqdm(range(steps), desc="film check", unit="step", mininterval=10)
    for step, (variants, pictures) in zip(progress, _batches(squares, generator), strict=False):
        optimizer.zero_grad()
        loss = loss_of(net(torch.cat([variants.films, pictures])), variants)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}")
    return net.eval()


def _batches(squares: Squares, generator: Generator) -> Iterator[tuple[Variants, Tensor]]:
    while True:
        films = _drawn(squares.films, FILMS, generator)
        pictures = F.interpolate(_drawn(squares.pictures, PICTURES, generator), (SIZE, SIZE), mode="area")
        yield make_variants(films, SIZE, Shares(), generator), spoiled(pictures, generator)


def _drawn(squares: NDArray[np.uint8], count: int, generator: Generator) -> Tensor:
    """(count, 1, H, H) in [0, 1]."""
    rows = torch.randint(len(squares), (count,), generator=generator)
    return torch.from_numpy(squares[rows.numpy()]).float()[:, None] / 255


def loss_of(logits: Tensor, made: Variants) -> Tensor:
    """Logits (N films and then pictures, 8) -> the mean loss; of pictures only that they are none."""
    n = len(made.films)
    strange = torch.cat([torch.zeros(n), torch.ones(len(logits) - n)])
    own, turns = logits[:n, : len(SIGNS)], logits[:n, len(SIGNS) :]
    told = torch.stack([made.inverted, made.mirrored, made.cut_off], 1)
    signs = F.binary_cross_entropy_with_logits(own[:, 1:], told)
    picture = F.binary_cross_entropy_with_logits(logits[:, 0], strange)
    return 2 * picture + 3 * signs + F.cross_entropy(turns, made.turns)


def scores_of(net: CheckNet, squares: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Squares (N, H, H), seen as in serving -> each sign's scores (N,)."""
    small = np.stack([fit_square((square / 255).astype(np.float32), SIZE, "squash")[0] for square in squares])
    return _scores(net, torch.from_numpy(small)[:, None])


def _scores(net: CheckNet, films: Tensor) -> dict[str, NDArray[np.float64]]:
    with torch.inference_mode():
        parts = [Served(net)(part) for part in films.split(512)]
    signs, turns = (torch.cat(each).double().numpy() for each in zip(*parts, strict=True))
    return dict(zip(SIGNS, signs.T, strict=True)) | {ROTATED: 1 - turns[:, 0]}


def find_thresholds(
    net: CheckNet, films: NDArray[np.uint8], pictures: NDArray[np.uint8], seed: int
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Thresholds of all signs from validation films, and what they gave: sign -> shares of good and of bad films.

    A threshold lies where the allowed share of good films ends, or half-way (in log odds) from there to the weakest
    hundredth of the bad ones where that is further: both sides then have the same room. Films of another hospital vary
    most in what looks like no film, so that threshold goes as high as PICTURES_FOUND permits.
    """
    generator = torch.Generator().manual_seed(seed)
    good = scores_of(net, films)
    squares = torch.from_numpy(films).float()[:, None] / 255
    bad = {"not_a_radiograph": scores_of(net, pictures)["not_a_radiograph"]}
    bad |= {sign: _scores(net, make_variants(squares, SIZE, how, generator).films)[sign] for sign, how in BAD.items()}
    thresholds, figures = {}, {}
    for sign, scores in bad.items():
        allowed = WARNED_SHARE if sign in WARNINGS else REFUSED_SHARE
        thresholds[sign] = _threshold(good[sign], scores, allowed)
        if sign == "not_a_radiograph":
            thresholds[sign] = max(thresholds[sign], round(float(np.quantile(scores, 1 - PICTURES_FOUND)), 6))
        figures[sign] = {
            "good_films": float((good[sign] >= thresholds[sign]).mean()),
            "bad_films": float((scores >= thresholds[sign]).mean()),
        }
    return thresholds, figures


def _threshold(good: NDArray[np.float64], bad: NDArray[np.float64], allowed: float) -> float:
    least = _log_odds(np.quantile(good, 1 - allowed))
    room = _log_odds(np.quantile(bad, 0.01))
    return round(float(1 / (1 + np.exp(-max(least, (least + room) / 2)))), 6)


def _log_odds(share: float) -> float:
    clipped = min(max(float(share), 1e-7), 1 - 1e-7)
    return float(np.log(clipped / (1 - clipped)))
