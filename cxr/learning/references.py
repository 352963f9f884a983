"""Slower explanations, to hold a map against for a few films: occlusion, LIME and GradientSHAP.

Each takes a prepared film (1, C, S, S) and gives (CELLS, CELLS) numbers, above zero where the film raises the logit.
What is taken away from a film is blurred, as in `deletion`: no network has been trained on grey boxes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cxr.errors import TrainingError
from cxr.learning.deletion import blurred

CELLS = 8  # a side; LIME fits one number to each cell
SAMPLES = 200  # films with some cells blurred, to which LIME fits; and gradients that GradientSHAP averages, over 10
BATCH = 16

LogitsOf = Callable[[Tensor], Tensor]  # (n, C, S, S) -> (n, K)
Explain = Callable[[LogitsOf, Tensor, int], Tensor]  # and the label's number -> (CELLS, CELLS)


def occlusion(logits_of: LogitsOf, film: Tensor, label: int) -> Tensor:
    """How far the logit falls when a cell alone is taken away (Zeiler & Fergus 2014)."""
    cells = F.interpolate(torch.eye(CELLS**2).view(-1, 1, CELLS, CELLS), size=film.shape[2:])
    with torch.no_grad():
        falls = [logits_of(film) - logits_of(film + (blurred(film) - film) * some) for some in cells.split(BATCH)]
    return torch.cat(falls)[:, label].view(CELLS, CELLS)


def lime(logits_of: LogitsOf, film: Tensor, label: int) -> Tensor:
    """Weights of a linear model of the logit by which cells are there, fitted near the film (Ribeiro et al. 2016)."""
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime

    numbers = torch.arange(CELLS**2, dtype=torch.float32).view(1, 1, CELLS, CELLS)
    weights = Lime(logits_of, interpretable_model=SkLearnRidge(alpha=1.0)).attribute(
        film,
        baselines=blurred(film),
        target=label,
        feature_mask=F.interpolate(numbers, size=film.shape[2:]).long(),
        n_samples=SAMPLES,
        perturbations_per_eval=BATCH,
        return_input_shape=False,
    )
    return torch.reshape(weights, (CELLS, CELLS))


def gradient_shap(logits_of: LogitsOf, film: Tensor, label: int) -> Tensor:
    """Mean gradient on the way from the blurred film, times the way (Lundberg & Lee 2017; Erion et al. 2021)."""
    from captum.attr import GradientShap

    pixels = GradientShap(logits_of).attribute(film, blurred(film), n_samples=SAMPLES // 10, target=label)
    return F.adaptive_avg_pool2d(pixels.sum(1), CELLS)[0]


REFERENCES: dict[str, Explain] = {"occlusion": occlusion, "LIME": lime, "GradientSHAP": gradient_shap}


def explain(logits_of: LogitsOf, film: Tensor, label: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Name of each of REFERENCES -> (CELLS, CELLS). The random generators of others are left as they were.

    Raises:
        TrainingError: captum is not installed.
    """
    with _seeded(seed):
        try:
            found = {name: reference(logits_of, film, label) for name, reference in REFERENCES.items()}
        except ImportError as error:
            raise TrainingError(f"--explain needs the package {error.name}; install requirements.txt.") from error
    return {name: one.detach().cpu().float().numpy() for name, one in found.items()}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """captum draws from the global generators of torch and numpy."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        np.random.set_state(before)
