"""Turn training runs into one model file to be served: calibrated on their validation films, proved equal to torch."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr.learning.datasets import PackedFilms
    from cxr.learning.ensemble import Ensemble

AGREEMENT = 0.005  # largest difference of a probability between the checkpoints in torch and the file in the engine
PROOF_FILMS = 32
UNCERTAIN = ("ignore", "zeros", "ones")
MOST_UNREADABLE = 0.01  # share of the films


def add_flags(parser: argparse.ArgumentParser) -> None:
    about = "run folder or checkpoint of train.py; several of one task answer together, by the mean of their logits"
    parser.add_argument("runs", type=Path, metavar="RUN", nargs="+", help=about)
    parser.add_argument("--data", type=Path, required=True, help="the data set that the runs were trained on")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--flip", action="store_true", help="answer by the mean of the film and its mirror image")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of packed films")
    about = "what becomes of CheXpert's uncertain labels; what the run did if not given"
    parser.add_argument("--uncertain", choices=UNCERTAIN, help=about)
    about = "share of the films that may be missing or unreadable; more stop the command"
    parser.add_argument("--most-unreadable", type=float, default=MOST_UNREADABLE, metavar="SHARE", help=about)


def run(options: argparse.Namespace) -> int:
    """Export, then compare the file with the checkpoints on real films. 1 when they disagree."""
    from cxr.learning.ensemble import Ensemble
    from cxr.learning.export import export
    from cxr.learning.release import describe

    net = Ensemble.load(options.runs, options.flip)
    training, validation = _films(net, options)
    space, info = describe(net, options.out.stem, validation, training)
    export(net, space, info, options.out)
    return _prove(net, validation, options.out)


def _films(net: "Ensemble", options: argparse.Namespace) -> tuple["PackedFilms", "PackedFilms"]:
    """Training films of the first run, and validation films that no run has learned from."""
    from cxr.learning.supply import Supply, uncertain_of

    uncertain = uncertain_of(net.records[0].record, options.uncertain)
    source = Supply(net.task, options.data, uncertain, options.most_unreadable, options.cache)
    films = source.read()
    tables = source.training(films, net.recipes[0]), source.validation(films, net.recipes)
    training, validation = (source.packed(table, net.preprocessing.size)[1] for table in tables)
    return training, validation


def _prove(net: "Ensemble", films: "PackedFilms", file: Path) -> int:
    """Compare probabilities of the checkpoints in torch with those of the file in the engine, in its own precision."""
    import numpy as np

    from cxr.learning.batches import prepared
    from cxr.learning.looking import look
    from cxr.modelfile import apply_calibration
    from cxr.reading.engine import Engine

    engine = Engine(file)
    info = engine.info
    some = films.take(np.arange(min(PROOF_FILMS, len(films))))
    ours = np.concatenate([engine.run(x.numpy()).logits for x in prepared(some, info.preprocessing)])
    reference = look(net, prepared(some, info.preprocessing)).logits
    platt = [info.platt[label] for label in info.labels]
    differences = apply_calibration(ours, platt, info.kind) - apply_calibration(reference, platt, info.kind)
    worst = np.abs(differences).max()
    print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB; probabilities differ from torch by {worst:.5f} at most")
    print(f"validation mean AUROC {info.training['validation']['mean_auroc']:.4f}")
    return 0 if worst <= AGREEMENT else 1
