"""Turn training runs into one model file to be served: calibrated on their validation films, proved equal to torch."""

import argparse
import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cxr.errors import TrainingError
from cxr.modelfile import DEFAULT_MAPS, MAPS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cxr.learning.datasets import FilmTable, PackedFilms
    from cxr.learning.ensemble import Ensemble
    from cxr.learning.export import FeatureSpace
    from cxr.modelfile import ModelInfo

AGREEMENT = 0.005  # largest difference of a probability between the checkpoints in torch and the file in the engine
PROOF_FILMS = 32
PACKAGES = ("onnx", "onnxscript", "openvino")  # needed besides those that training needs
UNCERTAIN = ("ignore", "zeros", "ones")
MOST_UNREADABLE = 0.01  # share of the films


def add_flags(parser: argparse.ArgumentParser) -> None:
    about = "run folder or checkpoint of train.py; several of one task answer together, by the mean of their logits"
    parser.add_argument("runs", type=Path, metavar="RUN", nargs="+", help=about)
    parser.add_argument("--data", type=Path, required=True, help="the data set that the runs were trained on")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--flip", action="store_true", help="answer by the mean of the film and its mirror image")
    about = "how the maps of where it looked are made"
    parser.add_argument("--maps", choices=MAPS, default=DEFAULT_MAPS, help=about)
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of packed films")
    about = "what becomes of CheXpert's uncertain labels; what the run did if not given"
    parser.add_argument("--uncertain", choices=UNCERTAIN, help=about)
    about = "share of the films that may be missing or unreadable; more stop the command"
    parser.add_argument("--most-unreadable", type=float, default=MOST_UNREADABLE, metavar="SHARE", help=about)


def run(options: argparse.Namespace) -> int:
    """Export what agrees with the checkpoints on real films; exit status 0.

    Raises of the CxrError family, a fault of the machine among them: memory, disk, a package.
    """
    from cxr.learning.faults import fault_of_the_machine

    try:
        _export(options)
    except (MemoryError, OSError, RuntimeError) as error:
        sentence = fault_of_the_machine(error, less_memory="close other programs, or export fewer runs")
        if sentence is None:
            raise
        raise TrainingError(sentence) from error
    return 0


def _export(options: argparse.Namespace) -> None:
    from cxr.learning.ensemble import Ensemble
    from cxr.learning.looking import read_and_look
    from cxr.learning.release import describe

    _check_packages()
    net = Ensemble.load(options.runs, options.flip, options.maps)
    _check_place(options.out)
    training, held_out = _films(net, options)
    table, seen = read_and_look(net, held_out, "validation films", options.most_unreadable)
    space, info = describe(net, options.out.stem, table, seen, training)
    _write(net, space, info, table.paths[:PROOF_FILMS], seen.logits[:PROOF_FILMS], options.out)
    print(f"validation mean AUROC {info.training['validation']['mean_auroc']:.4f}")
    if info.uncalibrated:
        print(f"not calibrated, for lack of validation films, and never above: {', '.join(info.uncalibrated)}")


def _check_packages() -> None:
    """Raises TrainingError when one that exporting needs is not there: looking at the films takes long."""
    try:
        for name in PACKAGES:
            importlib.import_module(name)
    except ImportError as error:
        raise TrainingError(f"Exporting needs the package {error.name or name}; install requirements.txt.") from error


def _check_place(out: Path) -> None:
    """Raises TrainingError when the file cannot be written. The folder is made."""
    if out.suffix != ".onnx" or out.is_dir():
        raise TrainingError(f"--out {out} is no name of a model file; it must end in .onnx.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise TrainingError(f"{out} cannot be written ({error.strerror}); name another file with --out.") from error


def _films(net: "Ensemble", options: argparse.Namespace) -> tuple["PackedFilms", "FilmTable"]:
    """Training films of the first run, and validation films that no run has learned from."""
    from cxr.learning.supply import Supply, uncertain_of

    uncertain = uncertain_of(net.records[0].record, options.uncertain)
    source = Supply(net.task, options.data, uncertain, options.most_unreadable, options.cache)
    films = source.read()
    held_out = source.held_out(films, net.recipes, [member.record for member in net.records])
    return source.packed(source.training(films, net.recipes[0]), net.preprocessing.size)[1], held_out


def _write(
    net: "Ensemble",
    space: "FeatureSpace",
    info: "ModelInfo",
    paths: Sequence[Path],
    logits: "NDArray[np.float32]",
    out: Path,
) -> None:
    """Write beside `out`, and rename what agrees with the `logits` (N, K) of the checkpoints for the films `paths`.

    Raises:
        TrainingError: it does not agree; then there is no file.
    """
    from cxr.learning.export import export

    unproved = out.with_name(f".{out.stem}.part.onnx")
    try:
        export(net, space, info, unproved)
        size_mb = unproved.stat().st_size / 1e6
        worst = _largest_difference(unproved, paths, logits)
        if not worst <= AGREEMENT:
            raise TrainingError(
                f"{out} is not written: its probabilities differ from the checkpoint's by {worst:.5f}, and {AGREEMENT} "
                "is allowed; its weights do not bear 8 bits, so give another run or checkpoint."
            )
        unproved.replace(out)
    finally:
        unproved.unlink(missing_ok=True)
    print(f"{out.name}: {size_mb:.1f} MB; probabilities differ from torch by {worst:.5f} at most")


def _largest_difference(file: Path, paths: Sequence[Path], logits: "NDArray[np.float32]") -> float:
    """Of probabilities of the file in the engine, in its own precision, from those of the `logits`."""
    import numpy as np

    from cxr.films.prepare import prepare
    from cxr.films.read import read_film
    from cxr.reading.engine import Engine

    engine = Engine(file)
    info = engine.info
    ours = np.concatenate([engine.run(prepare(read_film(path).pixels, info.preprocessing)[0]).logits for path in paths])
    return float(np.abs(info.probabilities(ours) - info.probabilities(logits)).max())
