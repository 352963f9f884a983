"""A checkpoint on its way back: in half precision, cut into parts, and made one again."""

import dataclasses
import hashlib
import json
import math
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cxr.errors import ModelFileError, TrainingError
from cxr.learning import checkpoints
from cxr.learning.checkpoints import Checkpoint

MB = 1e6  # bytes
MOST_PARTS = 8
ENDING = ".part"
_MAGIC = b"cxr part "
_HEADER_BYTES = 1000  # at most
# What a checkpoint holds, by how its names start. `best` has the first alone, `last` all that it needs to go on.
CONTENTS = {
    "model": "the weights that are kept: all that testing and exporting need",
    "net": "the weights that are trained, of which `model` is the moving average",
    "optimizer": "its moments; without them a run goes on with new ones",
}


@dataclass(frozen=True)
class _Header:
    """The first line of a part."""

    name: str  # of the checkpoint
    whole: str  # sha256 of the checkpoint that was cut
    sha256: str  # of what follows
    part: int
    parts: int


def split(file: Path, out: Path, part_bytes: float, keep: Collection[str] = ("model",)) -> list[Path]:
    """Write a checkpoint to `out` in parts of at most `part_bytes`: weights as float16, an optimizer's as bfloat16.

    Vectors stay float32, the statistics of BatchNorm among them. `keep` names keys of CONTENTS.

    Raises:
        ModelFileError: the checkpoint cannot be read.
        TrainingError: it takes more than MOST_PARTS, or `out` cannot be written.
    """
    data = _halved(checkpoints.load(file), keep)
    size = int(part_bytes) - _HEADER_BYTES
    count = math.ceil(len(data) / size) if size > 0 else MOST_PARTS + 1
    if count > MOST_PARTS:
        needed = f"{count} parts of {part_bytes / MB:.3g} MB" if size > 0 else "parts of more than a kilobyte"
        raise TrainingError(
            f"{file.name} needs {needed} in half precision, and {MOST_PARTS} at most may travel; "
            f"raise --part-mb or keep less of it with --keep ({', '.join(CONTENTS)})."
        )
    whole = hashlib.sha256(data).hexdigest()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for old in out.glob(f"{file.stem}-*{ENDING}"):
            old.unlink()
        return [
            _write_part(out, data[part * size : (part + 1) * size], _Header(file.name, whole, "", part, count))
            for part in range(count)
        ]
    except OSError as error:
        raise TrainingError(f"The parts of {file.name} cannot be written to {out} ({error.strerror}).") from error


def _halved(checkpoint: Checkpoint, keep: Collection[str]) -> bytes:
    tensors = {name: _half(name, t) for name, t in checkpoint.tensors.items() if name.split(".", 1)[0] in keep}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "half.safetensors"
        checkpoints.save(file, dataclasses.replace(checkpoint, tensors=tensors))
        return file.read_bytes()


def _half(name: str, tensor: Tensor) -> Tensor:
    """Second moments are as small as 1e-12, far below float16: bfloat16 has the range of float32."""
    if tensor.ndim < 2 or not tensor.is_floating_point():
        return tensor
    if name.startswith("optimizer."):
        return tensor.to(torch.bfloat16)
    half = tensor.to(torch.float16)
    return half if half.isfinite().all() else tensor


def _write_part(out: Path, data: bytes, header: _Header) -> Path:
    header = dataclasses.replace(header, sha256=hashlib.sha256(data).hexdigest())
    line = json.dumps(dataclasses.asdict(header)).encode()
    file = out / f"{Path(header.name).stem}-{header.part}-of-{header.parts}{ENDING}"
    unfinished = file.with_name(f".{file.name}")
    unfinished.write_bytes(_MAGIC + line + b"\n" + data)
    return unfinished.replace(file)


def join(folders: Sequence[Path], out: Path) -> Checkpoint:
    """Make one checkpoint `out` of the parts in `folders`, its tensors float32 again.

    Raises:
        ModelFileError: there is no part, a part is missing or damaged, or there are parts of several checkpoints.
        TrainingError: `out` cannot be written.
    """
    parts = _read_parts(folders)
    data = b"".join(parts[number] for number in sorted(parts))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "half.safetensors"
        file.write_bytes(data)
        half = checkpoints.load(file)
    whole = dataclasses.replace(
        half,
        tensors={name: t.float() if t.is_floating_point() else t for name, t in half.tensors.items()},
        record={**half.record, "travelled": "weights as float16, vectors as float32"},
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out} cannot be written ({error.strerror}).") from error
    checkpoints.save(out, whole)
    return whole


def _read_parts(folders: Sequence[Path]) -> dict[int, bytes]:
    """Number -> what the part holds; all of them, and of one checkpoint."""
    files = [file for folder in folders for file in sorted(folder.glob(f"[!.]*{ENDING}"))]
    if not files:
        raise ModelFileError(f"There is no part of a checkpoint in {', '.join(map(str, folders))}.")
    parts, first = dict[int, bytes](), _read_part(files[0])[0]
    for file in files:
        header, data = _read_part(file)
        if header.whole != first.whole:
            raise ModelFileError(f"{file.name} is of another checkpoint than {files[0].name}; join each by itself.")
        parts[header.part] = data
    missing = [str(number) for number in range(first.parts) if number not in parts]
    if missing:
        raise ModelFileError(
            f"Of the {first.parts} parts of {first.name}, {', '.join(missing)} is missing; fetch it, and join again."
        )
    return parts


def _read_part(file: Path) -> tuple[_Header, bytes]:
    line, _, data = file.read_bytes().partition(b"\n")
    try:
        if not line.startswith(_MAGIC):
            raise ValueError("it does not begin as one")
        header = _Header(**json.loads(line.removeprefix(_MAGIC)))
        if hashlib.sha256(data).hexdigest() != header.sha256:
            raise ValueError("its sha256 is not the one that was written")
    except (ValueError, TypeError) as error:
        raise ModelFileError(
            f"{file.name} is no part of a checkpoint, or is damaged ({error}); fetch it again."
        ) from error
    return header, data
