"""May the engine calculate in 8-bit integers? A quantised copy of a model file against the file itself.

    python benchmarks/int8.py DATA [--model FILE.onnx] [--limit N] [--json OUT]

Needs nncf (`pip install nncf`). Calibrates on training films (NNCF's post-training quantisation), then asks both for
the validation films that the model has not learned from. Layers are kept in floating point from the ends inwards, where
rounding is seen most, until all CRITERIA hold or no variant is left. Prints a row for each variant.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cxr.cards.retraining import runs_of  # noqa: E402
from cxr.films.prepare import prepare  # noqa: E402
from cxr.films.read import read_film  # noqa: E402
from cxr.learning.supply import Supply  # noqa: E402
from cxr.metrics import mean_auroc  # noqa: E402
from cxr.modelfile import OUTPUTS, ModelInfo  # noqa: E402
from cxr.reading.engine import SHIPPED  # noqa: E402
from cxr.reading.engine_openvino import Compiled  # noqa: E402
from cxr.reading.exported import Exported  # noqa: E402
from cxr.tasks import TASKS, Recipe  # noqa: E402

CALIBRATION_FILMS = 100
# What must hold on the validation films before integers may replace floating point.
CRITERIA = "AUROC loss <= .002, correlation of maps > .99, same peak in >= 99 % of the maps above the operating point"
# How many convolutions, first and last in the graph, stay in floating point.
VARIANTS = {"all layers": (0, 0), "but the first and the last 4": (1, 4), "but the first 11 and the last 14": (11, 14)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the data set that the model was trained on")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="exported model file")
    parser.add_argument("--limit", type=int, help="use N validation films, evenly spread")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there")
    options = parser.parse_args()
    info = Exported.read(options.model).info
    training, validation = _tables(info, options.data)
    rows = np.linspace(0, len(validation) - 1, min(options.limit or len(validation), len(validation))).astype(int)
    validation = validation.take(rows)
    films = [_prepared(path, info) for path in tqdm(validation.paths, "validation films")]
    few = training.take(np.linspace(0, len(training) - 1, CALIBRATION_FILMS).astype(int))
    calibrating = [_prepared(path, info) for path in few.paths]
    plain = answers(Exported.read(options.model).network, films)
    figures = []
    for variant in VARIANTS:
        quantised = answers(quantise(Exported.read(options.model).network, calibrating, *VARIANTS[variant]), films)
        figures.append({"variant": variant, "films": len(films), **compare(info, plain, quantised, validation.labels)})
        print(json.dumps(figures[-1]), flush=True)
        if figures[-1]["holds"]:
            break
    if options.json:
        options.json.write_text(json.dumps({"criteria": CRITERIA, "figures": figures}, indent=1))


def _tables(info: ModelInfo, data: Path) -> tuple[Any, Any]:
    runs = runs_of(info.training)
    recipes = [Recipe.from_dict(dict(run["recipe"])) for run in runs]
    source = Supply(TASKS[info.task], data)
    films = source.read()
    return source.training(films, recipes[0]), source.held_out(films, recipes, runs)


def _prepared(path: Path, info: ModelInfo) -> NDArray[np.float32]:
    return prepare(read_film(path).pixels, info.preprocessing)[0]


def quantise(network: openvino.Model, films: list[NDArray[np.float32]], first: int, last: int) -> openvino.Model:
    """int8 arithmetic in all convolutions but the `first` and `last` ones."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    from openvino.passes import ConstantFolding, Manager

    passes = Manager()  # the stored 8-bit weights to floating point, of which NNCF makes its own
    passes.register_pass(ConstantFolding())
    passes.run_passes(network)
    convolutions = [op.get_friendly_name() for op in network.get_ordered_ops() if op.get_type_name() == "Convolution"]
    kept = convolutions[:first] + (convolutions[-last:] if last else [])
    return nncf.quantize(
        network,
        nncf.Dataset(films),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(films),
        ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
        # Without VNNI sums of products are held in 16 bits and overflow, unless weights keep to 7.
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
    )


def answers(network: openvino.Model, films: list[NDArray[np.float32]]) -> dict[str, Any]:
    """logits (N, K), maps (N, K, h, w), and milliseconds for a film (median)."""
    compiled, found, spent = Compiled(network, "f32", 0), [], []
    for film in tqdm(films):
        began = time.perf_counter()
        found.append(compiled.run(film, OUTPUTS[:2]))
        spent.append((time.perf_counter() - began) * 1e3)
    logits, maps = zip(*found, strict=True)
    return {"logits": np.concatenate(logits), "maps": np.concatenate(maps), "ms": float(np.median(spent))}


def compare(
    info: ModelInfo, plain: dict[str, Any], quantised: dict[str, Any], truth: NDArray[np.float32]
) -> dict[str, float | bool]:
    probabilities = [info.probabilities(each["logits"]) for each in (plain, quantised)]
    areas = [mean_auroc(given, truth) for given in probabilities]
    above = _above(info, probabilities[0])
    flat = [each["maps"].reshape(*each["maps"].shape[:2], -1) for each in (plain, quantised)]  # (N, K, h * w)
    same = (flat[0].argmax(-1) == flat[1].argmax(-1))[above]
    correlations = [_correlation(a, b) for a, b in zip(flat[0][above], flat[1][above], strict=True)]
    found = {
        "auroc": areas[0],
        "auroc_int8": areas[1],
        "probability_moves_at_most": float(np.abs(probabilities[0] - probabilities[1]).max()),
        "maps_above": int(above.sum()),
        "map_correlation_mean": float(np.nanmean(correlations)),
        "map_correlation_1st_percentile": float(np.nanpercentile(correlations, 1)),
        "same_peak": float(same.mean()),
        "f32_ms": plain["ms"],
        "int8_ms": quantised["ms"],
    }
    holds = areas[0] - areas[1] <= 0.002 and found["map_correlation_mean"] > 0.99 and found["same_peak"] >= 0.99
    return {**found, "holds": bool(holds)}


def _above(info: ModelInfo, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    points = info.operating_points["youden"]
    thresholds = [points[label].threshold if label in points else np.inf for label in info.labels]
    return probabilities >= np.array(thresholds)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else float("nan")


if __name__ == "__main__":
    main()
