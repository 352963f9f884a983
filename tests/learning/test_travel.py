"""Training on a machine without a network, rehearsed: pack, unpack, train in time, split, join."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cxr.learning import checkpoints, packing
from cxr.learning.batches import generator, training_batch
from cxr.learning.budget import Budget, epoch_share
from cxr.learning.checkpoints import Checkpoint
from cxr.learning.commands import run_train
from cxr.learning.datasets import PackedFilms, read_data_set
from cxr.learning.parts import _half
from cxr.learning.remote_command import run
from cxr.tasks import TASKS, Augmentation, Recipe

ROOT = Path(__file__).parents[2]
TASK = TASKS["chestxray14"]
RECIPE = "--arch binarycnn --size 32 --batch 2 --lr 1e-3"


class Clock:
    """Each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("cxr.learning.budget.monotonic", clock)
    return clock


@pytest.fixture(scope="module")
def chunks(nih_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chunks")
    assert _remote(f"pack --data {nih_folder} --val-share 0.25 --chunk-mb 0.1 --out {folder}") == 0
    return folder


@pytest.fixture(scope="module")
def far(chunks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("far")
    assert _remote(f"unpack {chunks} --out {folder}") == 0
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network as the best of a run, half a megabyte in half precision."""
    file = tmp_path_factory.mktemp("run") / "best.safetensors"
    recipe = Recipe(arch="binarycnn", pooling="avg", head="dense512", size=32)
    tensors = {f"model.{name}": t for name, t in checkpoints.network(TASK, recipe).state_dict().items()}
    tensors["model.norm.running_var"] += 1 / 3
    checkpoints.save(file, Checkpoint(tensors, TASK.name, recipe, 3, {"films": 12}))
    return file


def _remote(line: str, began: float = 0.0) -> int:
    return run(line.split(), began)


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence that a command ended in."""
    return capsys.readouterr().err.splitlines()[-1].removeprefix("remote.py: ")


def _train(far: Path, out: Path, clock: Clock, flags: str) -> int:
    return _remote(f"train --data {far} --out {out} --cache {far}/cache {RECIPE} {flags}", clock.now)


def _progress(out: Path) -> dict[str, float]:
    progress: dict[str, float] = checkpoints.load(out / "last.safetensors").record["progress"]
    return progress


# ---- films there


def test_training_there_sees_what_it_sees_here(nih_folder: Path, far: Path, chunks: Path, tmp_path: Path) -> None:
    assert len(list(chunks.glob("chunk-*.bin"))) > 2
    assert all(file.stat().st_size <= 100_000 for file in chunks.glob("chunk-*.bin"))
    here, there = read_data_set(nih_folder, TASK), read_data_set(far, TASK)
    assert set(there.official) == {"train", "validation"}
    for part in ("train", "validation"):
        one, other = here.part(part, val_share=0.25), there.part(part)
        assert one.fingerprint() == other.fingerprint()
        assert list(one.patients) == list(other.patients)
        squares = [packing.pack(table, tmp_path, "pad").squares for table in (one, other)]
        assert np.array_equal(*squares)


def test_chunks_may_arrive_one_by_one(chunks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, rest, out = tmp_path / "first", tmp_path / "rest", tmp_path / "out"
    shutil.copytree(chunks, first, ignore=shutil.ignore_patterns("chunk-0[1-9].bin"))
    shutil.copytree(chunks, rest, ignore=shutil.ignore_patterns("chunk-00.bin"))
    assert _remote(f"unpack {first} --out {out}") == 0
    assert "unpacked: chunk-00.bin; missing: chunk-01.bin, " in capsys.readouterr().out
    assert _remote(f"train --data {out} --out {tmp_path}/run --budget-minutes 9") == 1
    assert f"is not yet unpacked in {out}" in _said(capsys)
    assert _remote(f"unpack {rest} --out {out}") == 0
    assert "missing: none" in capsys.readouterr().out
    assert len(read_data_set(out, TASK).part("train")) == 12


def test_a_damaged_chunk_is_named(chunks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "chunks"
    shutil.copytree(chunks, folder)
    data = bytearray((folder / "chunk-01.bin").read_bytes())
    data[100] ^= 1
    (folder / "chunk-01.bin").write_bytes(data)
    assert _remote(f"unpack {folder} --out {tmp_path}/out") == 1
    assert _said(capsys) == f"{folder}/chunk-01.bin is damaged (its sha256 is not the packed one's); send it again."
    assert not (tmp_path / "out" / "films.csv").exists()
    shutil.copy(chunks / "chunk-01.bin", folder)
    assert _remote(f"unpack {folder} --out {tmp_path}/out") == 0


def test_a_missing_index_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _remote(f"unpack {tmp_path} --out {tmp_path}/out") == 1
    assert _said(capsys) == f"There is no index.json.gz in {tmp_path}; send it with each chunk."


def test_a_jpeg_travels_as_it_is(far: Path, tmp_path: Path) -> None:
    film = next(far.glob("images/**/*.png"))
    pixels = cv2.imread(str(film), cv2.IMREAD_GRAYSCALE)
    assert pixels.shape == (256, 256)
    data = _own_csv(tmp_path / "data", {"a.jpg": "train", "b.jpg": "train", "c.jpg": "validation", "d.jpg": "test"})
    assert _remote(f"pack --data {data} --out {tmp_path}/chunks") == 0
    assert _remote(f"unpack {tmp_path}/chunks --out {tmp_path}/out") == 0
    assert (tmp_path / "out/images/a.jpg").read_bytes() == (data / "a.jpg").read_bytes()
    assert not list((tmp_path / "out").rglob("d.jpg"))


def _own_csv(folder: Path, films: dict[str, str]) -> Path:
    rows = [f"path,part,{','.join(TASK.labels)}"]
    for number, (name, part) in enumerate(films.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((80, 64), 40 * number, np.uint8))
        rows.append(f"{name},{part},{',' * 12}1")
    (folder / "films.csv").write_text("\n".join(rows))
    return folder


def test_two_data_sets_travel_as_one(nih_folder: Path, tmp_path: Path) -> None:
    own = _own_csv(tmp_path / "own", {"a.png": "train", "b.png": "validation"})
    assert _remote(f"pack --data {nih_folder} --data {own} --val-share 0.25 --out {tmp_path}/chunks") == 0
    assert _remote(f"unpack {tmp_path}/chunks --out {tmp_path}/out") == 0
    train = read_data_set(tmp_path / "out", TASK).part("train")
    assert len(train) == 13
    assert train.patients[-1] == "1/a"
    assert np.isnan(train.labels[-1]).sum() == 13


def test_a_film_on_both_sides_of_two_data_sets_is_refused(
    nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = read_data_set(nih_folder, TASK).part("validation", val_share=0.25).paths[0]
    own = _own_csv(tmp_path / "own", {held_out.name: "train", "b.png": "validation"})
    assert _remote(f"pack --data {nih_folder} --data {own} --val-share 0.25 --out {tmp_path}/chunks") == 1
    assert f"Film {held_out.name} is in the train part of {own}" in _said(capsys)


def test_films_of_two_data_sets_that_only_share_a_name_travel_together(tmp_path: Path) -> None:
    one = _own_csv(tmp_path / "one", {"1.png": "train", "2.png": "validation"})
    two = _own_csv(tmp_path / "two", {"1.png": "validation", "2.png": "train"})
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(two / name), np.eye(90, dtype=np.uint8) * 255)
    assert _remote(f"pack --data {one} --data {two} --out {tmp_path}/chunks") == 0
    assert _remote(f"unpack {tmp_path}/chunks --out {tmp_path}/out") == 0


def test_two_films_of_one_patient_on_both_sides_of_two_data_sets_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = _own_csv(tmp_path / "one", {"00000013_005.png": "train", "a.png": "validation"})
    two = _own_csv(tmp_path / "two", {"00000013_007.png": "validation", "b.png": "train"})
    assert _remote(f"pack --data {one} --data {two} --out {tmp_path}/chunks") == 1
    assert "and 00000013_007.png of the same patient in the validation part" in _said(capsys)


def test_a_fault_of_the_machine_is_one_sentence(
    chunks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxr.learning.remote_command.unpack", _no_memory)
    assert _remote(f"unpack {chunks} --out {tmp_path}") == 1
    assert _said(capsys).startswith("There is too little memory for this")


def _no_memory(*_: object) -> None:
    raise MemoryError


def test_films_packed_too_small_for_the_size_are_refused(
    far: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _remote(f"train --data {far} --out {tmp_path} --size 512 --budget-minutes 9") == 1
    assert "were packed at 256 px, and --size needs 512; pack them with --side 512" in _said(capsys)


# ---- time


def test_the_whole_way(far: Path, tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Two calls of one budget, each step a second; back in parts; on from there; the same answers."""
    out, flags = tmp_path / "run", "--epochs 50 --budget-minutes 0.5 --reserve-minutes 0.05"
    assert _train(far, out, clock, f"{flags} --call-minutes 0.2") == 0
    first = _progress(out)
    assert (first["total"], first["epoch"], first["step"]) == (8, 1, 2)  # 12 s, less 1 to start and 3 in reserve
    assert first["spent_s"] == 9
    assert first["share"] == pytest.approx(8 / 26)
    assert _train(far, out, clock, flags) == 0
    second = _progress(out)
    assert (second["total"], second["epoch"], second["step"]) == (25, 5, 0)
    assert second["share"] == 1
    figures = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert figures[-1]["epoch"] == 5
    assert _train(far, out, clock, flags) == 1
    assert "No time is left to train in: of 0.5 minutes 0.45 are spent" in _said(capsys)

    assert _remote(f"split {out}/last.safetensors --keep model net optimizer --out {tmp_path}/parts --part-mb 2") == 0
    again = tmp_path / "again"
    assert _remote(f"join {tmp_path}/parts --out {again}/last.safetensors") == 0
    _assert_same_answers(out / "last.safetensors", again / "last.safetensors", far)
    assert _train(far, again, clock, f"{flags} --budget-minutes 0.7") == 0
    assert _progress(again)["total"] > 25


def _assert_same_answers(one: Path, other: Path, far: Path) -> None:
    film = cv2.imread(str(next(far.glob("images/**/*.png"))), cv2.IMREAD_GRAYSCALE)
    x = torch.from_numpy(cv2.resize(film, (32, 32))).float().expand(1, 3, 32, 32) / 255
    with torch.no_grad():
        answers = [torch.sigmoid(checkpoints.load(file).network().eval()(x)) for file in (one, other)]
    torch.testing.assert_close(*answers, atol=0.002, rtol=0)


def test_a_budget_with_room_for_all_epochs_changes_nothing(far: Path, tmp_path: Path) -> None:
    common = f"--data {far} --cache {far}/cache {RECIPE} --epochs 2"
    assert run_train(f"{common} --out {tmp_path}/plain".split()) == 0
    assert _remote(f"train {common} --out {tmp_path}/timed --budget-minutes 1e6", began=0.0) == 0
    plain, timed = (checkpoints.load(tmp_path / name / "last.safetensors").tensors for name in ("plain", "timed"))
    assert all(torch.equal(plain[name], timed[name]) for name in plain)


def test_a_student_learns_there_too(far: Path, checkpoint: Path, tmp_path: Path, clock: Clock) -> None:
    assert _train(far, tmp_path / "run", clock, f"--epochs 1 --budget-minutes 9 --teacher {checkpoint}") == 0
    assert checkpoints.load(tmp_path / "run/best.safetensors").record["teachers"] == ["best.safetensors"]


def test_a_budget_without_time_to_train_is_refused(
    far: Path, tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(far, tmp_path, clock, "--budget-minutes 1") == 1
    assert "No time is left to train in: of 1 minutes 0 are spent, this call may take 1" in _said(capsys)


def test_speed_and_what_fits_are_said_once(clock: Clock) -> None:
    pace = Budget(total_s=100, call_s=100, reserve_s=9, began=0).pace(spent_s=0, share=0)
    said = []
    for _ in range(30):
        pace.tick(pace.clock_s())
        said.append(pace.forecast(batch=32, steps_an_epoch=10))
    assert [text for text in said if text] == ["32 films/s: 6.5 epochs fit into the 1.1 minutes left"]


def test_the_schedule_runs_by_epochs_or_by_time_whichever_is_further() -> None:
    recipe = Recipe(epochs=10)
    assert epoch_share(recipe, epoch=2, share=0.5, time_share=0.1) == 0.5
    assert epoch_share(recipe, epoch=2, share=0.5, time_share=0.9) == 7
    two_phases = Recipe(epochs=10, head_epochs=3)
    assert epoch_share(two_phases, epoch=2, share=0.5, time_share=0.9) == 1  # the end of the first


# ---- a checkpoint's way back


def test_parts_joined_are_the_checkpoint_in_half_precision(checkpoint: Path, far: Path, tmp_path: Path) -> None:
    assert _remote(f"split {checkpoint.parent} --out {tmp_path} --part-mb 0.25") == 0
    parts = sorted(tmp_path.glob("*.part"))
    assert [part.name for part in parts] == ["best-0-of-3.part", "best-1-of-3.part", "best-2-of-3.part"]
    assert all(part.stat().st_size <= 250_000 for part in parts)
    assert _remote(f"join {tmp_path} --out {tmp_path}/best.safetensors") == 0
    before, after = checkpoints.load(checkpoint), checkpoints.load(tmp_path / "best.safetensors")
    assert (after.task, after.recipe, after.epoch, after.record["films"]) == (TASK.name, before.recipe, 3, 12)
    vectors = [name for name, tensor in before.tensors.items() if tensor.ndim < 2]
    assert "model.norm.running_var" in vectors
    assert all(torch.equal(before.tensors[name], after.tensors[name]) for name in vectors)
    _assert_same_answers(checkpoint, tmp_path / "best.safetensors", far)


def test_small_moments_and_large_weights_survive() -> None:
    small, large = torch.full((2, 2), 1e-12), torch.full((2, 2), 1e6)
    assert _half("optimizer.0.exp_avg_sq", small).float().allclose(small, rtol=0.01, atol=0)
    assert torch.equal(_half("model.w", large), large)


def test_a_missing_part_is_named(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _remote(f"split {checkpoint} --out {tmp_path} --part-mb 0.25") == 0
    (tmp_path / "best-1-of-3.part").unlink()
    assert _remote(f"join {tmp_path} --out {tmp_path}/best.safetensors") == 1
    assert _said(capsys) == "Of the 3 parts of best.safetensors, 1 is missing; fetch it, and join again."


def test_a_damaged_part_is_named(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _remote(f"split {checkpoint} --out {tmp_path} --part-mb 0.25") == 0
    part = tmp_path / "best-1-of-3.part"
    part.write_bytes(part.read_bytes()[:-1])
    assert _remote(f"join {tmp_path} --out {tmp_path}/best.safetensors") == 1
    assert _said(capsys).startswith("best-1-of-3.part is no part of a checkpoint, or is damaged (its sha256")


def test_more_than_eight_parts_are_refused(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _remote(f"split {checkpoint} --out {tmp_path} --part-mb 0.05") == 1
    assert "parts of 0.05 MB in half precision, and 8 at most may travel; raise --part-mb" in _said(capsys)
    assert not list(tmp_path.iterdir())


# ---- the machine


def test_a_batch_of_films_that_a_device_holds_is_the_same_batch() -> None:
    random = np.random.default_rng(0)
    films = PackedFilms(random.integers(0, 255, (6, 64, 64), np.uint8), np.eye(6, 14, dtype=np.float32))
    recipe = Recipe(augmentation=Augmentation(speckle=0.1, erasing=0.5, mixup=0.4))
    rows, how = np.array([4, 1, 2]), TASK.preprocessing
    usual = training_batch(films, rows, recipe, how, generator(7))
    held = training_batch(films, rows, recipe, how, generator(7), torch.from_numpy(films.squares))
    torch.testing.assert_close(held, usual)


def test_the_machine_needs_neither_the_desk_nor_dicom_nor_openvino() -> None:
    blocked = "flask", "sqlalchemy", "pydicom", "openvino", "onnx"
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import cxr.learning.remote_command"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
