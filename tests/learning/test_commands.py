"""train.py and test.py: their flags, and one sentence for whatever goes wrong."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest

from cxr.learning import checkpoints, testing_command, training_command
from cxr.learning.commands import run_test, run_train
from cxr.learning.stopping import Stopped
from tests.learning.conftest import DrawFilms
from tests.learning.nets import tiny_checkpoint

NET = ["--arch", "binarycnn", "--pooling", "avg", "--size", "32"]
TINY = [*NET, "--epochs", "1", "--batch", "6", "--val-share", "0.25"]

Train = Callable[..., int]


@pytest.fixture
def copy(nih_folder: Path, tmp_path: Path) -> Path:
    """The drawn data set, to be damaged."""
    return Path(shutil.copytree(nih_folder, tmp_path / "nih"))


@pytest.fixture
def train_tiny(tmp_path: Path) -> Train:
    """Trains on a folder into `run/` with a tiny recipe; later flags go before earlier ones."""

    def train(data: Path, *flags: str, task: str = "chestxray8") -> int:
        places = ["--data", str(data), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
        return run_train(["--task", task, *places, *TINY, *flags])

    return train


@pytest.fixture
def sentence(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was said on standard error, which must be one line besides progress bars."""

    def said() -> str:
        lines = [line for line in capsys.readouterr().err.splitlines() if ".py: " in line or "Traceback" in line]
        assert len(lines) == 1
        return lines[0]

    return said


def test_a_table_without_rows_is_one_sentence(copy: Path, train_tiny: Train, sentence: Callable[[], str]) -> None:
    (copy / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels,Patient ID\n")
    assert train_tiny(copy) == 1
    assert "Data_Entry_2017.csv has no rows below its header" in sentence()


def test_an_unknown_label_is_one_sentence(copy: Path, train_tiny: Train, sentence: Callable[[], str]) -> None:
    table = copy / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("Effusion", "Efusion"))
    assert train_tiny(copy) == 1
    assert "'Efusion' is none of NIH's" in sentence()


def test_a_patient_in_both_lists_is_one_sentence(copy: Path, train_tiny: Train, sentence: Callable[[], str]) -> None:
    with (copy / "test_list.txt").open("a") as stream:
        stream.write("\n00000000_000.png")
    assert train_tiny(copy) == 1
    assert "1 patients are in both lists, patient 0 among them" in sentence()


def test_a_truncated_film_is_named_and_left_out_where_that_is_allowed(
    copy: Path, train_tiny: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = copy / "images" / "00000001_000.png"
    film.write_bytes(film.read_bytes()[:300])
    assert train_tiny(copy, "--most-unreadable", "0.2") == 0
    printed = capsys.readouterr()
    assert "1 unreadable" in printed.out
    assert "left out: 00000001_000.png: The PNG file is truncated" in printed.err
    record = checkpoints.load(tmp_path / "run" / "best.safetensors").record
    assert record["films"]["left_out"] == 1
    assert record["left_out"][0].startswith("00000001_000.png: ")


def test_too_many_unreadable_films_are_one_sentence(copy: Path, train_tiny: Train, sentence: Callable[[], str]) -> None:
    film = copy / "images" / "00000001_000.png"
    film.write_bytes(film.read_bytes()[:300])
    assert train_tiny(copy) == 1
    assert "cannot be read, first 00000001_000.png" in sentence()


def test_a_run_folder_of_another_task_is_not_gone_on_with(
    nih_folder: Path, train_tiny: Train, sentence: Callable[[], str]
) -> None:
    assert train_tiny(nih_folder) == 0
    assert train_tiny(nih_folder, task="chestxray14") == 1
    assert "run/ holds a run with --task chestxray8, and chestxray14 is given; give what the run has" in sentence()


def test_a_checkpoint_of_another_task_gives_its_trunk(nih_folder: Path, train_tiny: Train, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    checkpoints.save(other, tiny_checkpoint("covid3", seed=5))  # of one channel at that, and another head
    assert train_tiny(nih_folder, "--init", str(other), task="chestxray14") == 1
    checkpoints.save(other, tiny_checkpoint("pneumonia3", seed=5))
    assert train_tiny(nih_folder, "--init", str(other), task="chestxray14") == 0
    assert checkpoints.load(tmp_path / "run" / "best.safetensors").record["init"] == "other.safetensors"


def test_data_without_the_labels_of_a_checkpoint_are_one_sentence(
    draw_films: DrawFilms, tmp_path: Path, sentence: Callable[[], str]
) -> None:
    kermany = draw_films(
        tmp_path, "train/PNEUMONIA/person1_bacteria_1.jpeg", "train/NORMAL/IM-0001-0001.jpeg", "test/NORMAL/IM-1.jpeg"
    )
    checkpoints.save(tmp_path / "best.safetensors", tiny_checkpoint("chestxray8"))
    assert run_test([str(tmp_path / "best.safetensors"), "--data", str(kermany)]) == 1
    assert "Kermany's films have no label Atelectasis" in sentence()


def test_a_checkpoint_of_a_task_that_is_not_known_is_one_sentence(tmp_path: Path, sentence: Callable[[], str]) -> None:
    file = tmp_path / "best.safetensors"
    checkpoints.save(file, tiny_checkpoint())
    content = file.read_bytes()
    file.write_bytes(content.replace(b"chestxray8", b"chestxray9"))
    assert run_test([str(tmp_path), "--data", str(tmp_path)]) == 1
    assert "best.safetensors is not a checkpoint of this project" in sentence()


def test_a_loss_for_one_class_is_refused_for_findings_that_go_together(
    nih_folder: Path, train_tiny: Train, sentence: Callable[[], str]
) -> None:
    assert train_tiny(nih_folder, "--loss", "cross_entropy") == 1
    assert "--loss cross_entropy is for tasks with one class a film" in sentence()


def test_a_run_needs_a_folder(nih_folder: Path, sentence: Callable[[], str]) -> None:
    assert run_train(["--data", str(nih_folder)]) == 1
    assert "name one with --out" in sentence()


def test_packing_alone_fills_the_cache_and_trains_nothing(nih_folder: Path, tmp_path: Path) -> None:
    flags = ["--task", "chestxray8", "--data", str(nih_folder), "--cache", str(tmp_path / "cache"), "--size", "300"]
    assert run_train([*flags, "--pack"]) == 0
    assert [file.suffix for file in tmp_path.iterdir()] == [""]
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2  # training and validation films


FAULTS = {
    "too little memory": MemoryError(),
    "lower --batch": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
    "There is too little memory": OSError(errno.ENOMEM, "Cannot allocate memory"),
    r"run/metrics.jsonl cannot be read or written (No space left on device); make room": OSError(
        errno.ENOSPC, "No space left on device", "run/metrics.jsonl"
    ),
    "weights cannot be downloaded (no network); give a file with --init": URLError("no network"),
}


@pytest.mark.parametrize("expected", FAULTS)
@pytest.mark.parametrize(("door", "command"), [(run_train, training_command), (run_test, testing_command)])
def test_a_fault_of_the_machine_is_one_sentence(
    door, command, expected: str, monkeypatch: pytest.MonkeyPatch, sentence: Callable[[], str]
) -> None:
    def fail(_: object) -> None:
        raise FAULTS[expected]

    monkeypatch.setattr(command, "run", fail)
    assert door(["model", "--data", "D"] if door is run_test else ["--data", "D"]) == 1
    assert expected in sentence()


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(training_command, "run", fail)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_train(["--data", "D"])


@pytest.mark.parametrize(
    ("stop", "said"),
    [(KeyboardInterrupt(), "stopped."), (Stopped(), "stopped and saved; the same command goes on from here.")],
)
def test_only_what_was_saved_is_said_to_be(
    stop: KeyboardInterrupt, said: str, monkeypatch: pytest.MonkeyPatch, sentence: Callable[[], str]
) -> None:
    def run(_: object) -> None:
        raise stop

    monkeypatch.setattr(training_command, "run", run)
    assert run_train(["--data", "D"]) == 130
    assert sentence() == f"train.py: {said}"


def test_a_csv_of_answers_is_tested_by_itself(sentence: Callable[[], str]) -> None:
    assert run_test(["answers.csv", "run", "--data", "D"]) == 1
    assert "A csv of answers is tested by itself" in sentence()


def test_two_runs_are_tested_as_one(nih_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        checkpoints.save(tmp_path / f"{number}.safetensors", tiny_checkpoint(size=32 * number))
    files = [str(tmp_path / f"{number}.safetensors") for number in (1, 2)]
    assert run_test([*files, "--flip", "--data", str(nih_folder), "--out", str(tmp_path / "report")]) == 0
    assert "8 films of 4 patients" in capsys.readouterr().out
    report = (tmp_path / "report" / "report.html").read_text()
    assert "binarycnn, avg pooling + binarycnn, avg pooling, mirrored film too, 32 px and 64 px" in report


def test_a_test_film_that_cannot_be_read_stops_the_test_unless_allowed(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints.save(tmp_path / "best.safetensors", tiny_checkpoint())
    film = copy / "images" / "00000009_000.png"
    film.write_bytes(film.read_bytes()[:300])
    flags = [str(tmp_path / "best.safetensors"), "--data", str(copy)]
    assert run_test(flags) == 1
    assert "1 of 8 films cannot be read, first 00000009_000.png: " in capsys.readouterr().err
    assert run_test([*flags, "--most-unreadable", "0.2"]) == 0
    assert "7 films of 4 patients" in capsys.readouterr().out
