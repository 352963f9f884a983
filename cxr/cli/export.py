"""Turn a training run into one model file to be served: calibrated on its validation films, proved equal to torch."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr.learning.datasets import PackedFilms
    from cxr.learning.models import FilmNet

AGREEMENT = 0.005  # largest difference of a probability between the checkpoint in torch and the file in the engine
PROOF_FILMS = 32


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder or checkpoint of train.py")
    parser.add_argument("--data", type=Path, required=True, help="the data set that the run was trained on")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of packed films")


def run(options: argparse.Namespace) -> int:
    """Export, then compare the file with the checkpoint on real films. 1 when they disagree."""
    from cxr.learning import checkpoints
    from cxr.learning.export import export
    from cxr.learning.release import describe
    from cxr.learning.training_command import packed, training_tables
    from cxr.tasks import TASKS

    checkpoint = checkpoints.load(checkpoints.find(options.run_folder))
    task = TASKS[checkpoint.task]
    tables = training_tables(task, checkpoint.recipe, options.data)
    training, validation = (packed(table, options.cache, task.preprocessing.fit)[1] for table in tables)
    space, info = describe(checkpoint, options.out.stem, validation, training)
    net = checkpoint.network()
    export(net, space, info, options.out)
    return _prove(net, validation, options.out)


def _prove(net: "FilmNet", films: "PackedFilms", file: Path) -> int:
    """Compare probabilities of the checkpoint in torch with those of the file in the engine, in its own precision."""
    import numpy as np

    from cxr.learning.batches import prepared
    from cxr.learning.devices import CPU
    from cxr.learning.training import predict
    from cxr.modelfile import apply_platt
    from cxr.reading.engine import Engine

    engine = Engine(file)
    some = films.take(np.arange(min(PROOF_FILMS, len(films))))
    how = engine.info.preprocessing
    ours = np.concatenate([engine.run(x.numpy()).logits for x in prepared(some, how)])
    platt = [engine.info.platt[label] for label in engine.info.labels]
    reference = predict(net, some, how, CPU, "f32")
    worst = np.abs(apply_platt(ours, platt) - apply_platt(reference, platt)).max()
    print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB; probabilities differ from torch by {worst:.5f} at most")
    print(f"validation mean AUROC {engine.info.training['validation']['mean_auroc']:.4f}")
    return 0 if worst <= AGREEMENT else 1
