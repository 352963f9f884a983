"""What Model_Training/remote.py does: training on a machine without a network, in calls of limited time."""

import argparse
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cxr.errors import TrainingDataError, TrainingError
from cxr.learning import checkpoints, training_command
from cxr.learning.budget import Budget
from cxr.learning.datasets import MOST_UNREADABLE, UNCERTAIN
from cxr.learning.faults import end_of
from cxr.learning.packing import packed_side
from cxr.learning.parts import CONTENTS, join, split
from cxr.learning.supply import Supply
from cxr.learning.travel import INDEX, MB, Index, Unpacked, pack, unpack
from cxr.tasks import TASKS

SAVE_EVERY_S = 120.0  # more often than elsewhere: a call that outruns its limit is killed


def run(arguments: list[str], began: float) -> int:
    """Exit status: 0; 1 after one sentence that says what is wrong; 130 when interrupted.

    `began` is time.monotonic() at the start of the process: what the imports took counts.
    """
    options = parser().parse_args(arguments)
    options.began = began
    command = COMMANDS[options.command]
    return end_of(lambda: command.run(options), "remote.py", command.farewell)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="remote.py", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        command.add_flags(commands.add_parser(name, help=command.help, description=command.help))
    return top


# ---- pack


def _pack_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", choices=TASKS, default="chestxray14", help="what is predicted")
    about = "folder of a data set, as it is downloaded; may be given several times"
    parser.add_argument("--data", type=Path, required=True, action="append", help=about)
    about = "what becomes of CheXpert's uncertain labels"
    parser.add_argument("--uncertain", choices=UNCERTAIN, default="ignore", help=about)
    about = "share of the films that may be missing"
    parser.add_argument("--most-unreadable", type=float, default=MOST_UNREADABLE, metavar="SHARE", help=about)
    parser.add_argument("--out", type=Path, required=True, help="folder for the chunks and their index")
    parser.add_argument("--chunk-mb", type=float, default=55.0, help="largest size of a chunk, MB")
    parser.add_argument("--side", type=int, help="side of films that are written anew, pixels; as the task packs them")
    parser.add_argument("--val-share", type=float, help="share of the training patients held out for validation")
    parser.add_argument("--seed", type=int, help="seed of the split")


def _pack(options: argparse.Namespace) -> None:
    task = TASKS[options.task]
    given = {name: getattr(options, name) for name in ("val_share", "seed") if getattr(options, name) is not None}
    recipe = dataclasses.replace(task.recipe, **given)
    supplies = [Supply(task, folder, options.uncertain, options.most_unreadable) for folder in options.data]
    index = pack(supplies, recipe, options.out, options.chunk_mb * MB, options.side)
    print(*index.notes, _packed(index, options.out), sep="\n")


def _packed(index: Index, out: Path) -> str:
    sizes_mb = {name: (out / name).stat().st_size / MB for name in [INDEX, *(chunk.name for chunk in index.chunks)]}
    lines = [
        f"{chunk.name}  {sizes_mb[chunk.name]:.2f} MB  {len(chunk.films)} films  sha256 {chunk.sha256}"
        for chunk in index.chunks
    ]
    rewritten = f"{index.films} films, {index.rewritten} of them written anew at {index.side} px"
    return "\n".join([*lines, f"{INDEX}  {sizes_mb[INDEX]:.2f} MB  {rewritten}"])


# ---- unpack


def _unpack_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", help=f"folders with chunks; one of them with {INDEX}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data set; give it again for each chunk")


def _unpack(options: argparse.Namespace) -> None:
    state = unpack(options.folders, options.out)
    print(f"unpacked: {', '.join(state.done) or 'none'}; missing: {', '.join(state.missing) or 'none'}")


# ---- train


def _train_flags(parser: argparse.ArgumentParser) -> None:
    training_command.add_flags(parser)
    parser.set_defaults(save_every=SAVE_EVERY_S)
    group = parser.add_argument_group("time", "wall-clock; --epochs are as many as there may be in it")
    about = "of the whole run, over all calls of this command"
    group.add_argument("--budget-minutes", type=float, required=True, metavar="M", help=about)
    group.add_argument("--call-minutes", type=float, metavar="M", help="of this call; default: what is left")
    about = "kept at the end of each call, for validating, saving and splitting"
    group.add_argument("--reserve-minutes", type=float, default=1.5, metavar="M", help=about)


def _train(options: argparse.Namespace) -> None:
    state = Unpacked.read(options.data)
    if state:
        _check_unpacked(state, options)
    torch.backends.cudnn.benchmark = True  # one size of input: the fastest convolution is worth looking for
    call_minutes = options.budget_minutes if options.call_minutes is None else options.call_minutes
    budget = Budget(
        total_s=options.budget_minutes * 60,
        call_s=call_minutes * 60,
        reserve_s=options.reserve_minutes * 60,
        began=options.began,
    )
    training_command.run(options, budget, state.notes if state else ())


def _check_unpacked(state: Unpacked, options: argparse.Namespace) -> None:
    if state.missing:
        missing = ", ".join(state.missing)
        raise TrainingDataError(f"{missing} is not yet unpacked in {options.data}; send it, and unpack it there first.")
    side = packed_side(options.size or TASKS[options.task].recipe.size)
    if state.rewritten and side > state.side:
        raise TrainingDataError(
            f"{state.rewritten} films of {options.data} were packed at {state.side} px, and --size needs {side}; "
            f"pack them with --side {side}, or lower --size."
        )


# ---- split, join


def _split_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="checkpoint, or run folder for its best one")
    parser.add_argument("--out", type=Path, required=True, help="folder for the parts")
    parser.add_argument("--part-mb", type=float, default=15.0, help="largest size of a part, MB")
    about = "; ".join(f"{name}: {text}" for name, text in CONTENTS.items())
    parser.add_argument("--keep", choices=CONTENTS, nargs="+", default=["model"], help=f"what of it. {about}")


def _split(options: argparse.Namespace) -> None:
    for part in split(checkpoints.find(options.checkpoint), options.out, options.part_mb * MB, options.keep):
        print(f"{part}  {part.stat().st_size / MB:.1f} MB")


def _join_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", help="folders with the parts of one checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint, a .safetensors file")


def _join(options: argparse.Namespace) -> None:
    if options.out.suffix != ".safetensors":
        raise TrainingError(f"--out {options.out} is no name of a checkpoint; it must end in .safetensors.")
    joined = join(options.folders, options.out)
    print(f"{options.out}  {joined.task}, {joined.recipe.arch}, epoch {joined.epoch}, {len(joined.tensors)} tensors")


@dataclass(frozen=True)
class _Command:
    help: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    farewell: str = "stopped; give the command again."


_GOES_ON = "stopped; the same command goes on from last.safetensors of its --out, where there is one yet."
COMMANDS = {
    "pack": _Command("training and validation films of a data set into chunks that can be sent", _pack_flags, _pack),
    "unpack": _Command("chunks into the folder of a data set, as many as have arrived", _unpack_flags, _unpack),
    "train": _Command("train.py within a budget of time, over one or more calls", _train_flags, _train, _GOES_ON),
    "split": _Command("a checkpoint into parts in half precision that can be fetched", _split_flags, _split),
    "join": _Command("parts into a checkpoint", _join_flags, _join),
}
