"""Each task from a download, drawn in its original layout, to a report and a file that can be served."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cxr.cli import export, main
from cxr.films.film import Film, Metadata
from cxr.learning import checkpoints
from cxr.learning.commands import run_test, run_train
from cxr.learning.csv_layouts import CHEXPERT_LABELS
from cxr.reading.reader import Reader
from cxr.tasks import TASKS
from tests.learning.conftest import DrawFilms
from tests.phantom import draw_phantom

NET = ["--arch", "binarycnn", "--pooling", "avg", "--head", "linear", "--size", "32"]
TINY = [*NET, "--epochs", "1", "--batch", "8", "--val-share", "0.3"]
CLASSES = ("bacterial", "viral", "normal")
COVID4_FOLDERS = ("COVID", "Lung_Opacity", "Viral Pneumonia", "Normal")


@dataclasses.dataclass(frozen=True)
class Bench:
    """Trains, tests and exports below one folder."""

    folder: Path
    draw: DrawFilms

    def train(self, task: str, data: Path, *flags: str) -> Path:
        """The run."""
        places = ["--data", str(data), "--out", str(self.folder / "run"), "--cache", str(self.folder / "cache")]
        assert run_train(["--task", task, *places, *TINY, *flags]) == 0
        return self.folder / "run"

    def test(self, run: Path, data: Path, *flags: str) -> dict[str, object]:
        """The figures of the report."""
        assert run_test([str(run), "--data", str(data), "--out", str(self.folder / "report"), *flags]) == 0
        return dict(json.loads((self.folder / "report" / "evaluation.json").read_text()))

    def export(self, run: Path, data: Path) -> Reader:
        """What reads films with the exported file."""
        file = self.folder / "model.onnx"
        places = ["--data", str(data), "--out", str(file), "--cache", str(self.folder / "cache")]
        assert main(["export", str(run), *places]) == 0
        return Reader.load(file)


@pytest.fixture
def bench(tmp_path: Path, draw_films: DrawFilms, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(export, "AGREEMENT", 0.2)  # calibration makes much of what a network of one epoch says
    return Bench(tmp_path, draw_films)


def _kermany(part: str, count: int) -> list[str]:
    kinds = ("bacteria", "virus")
    sick = [f"{part}/PNEUMONIA/person{n}_{kinds[n % 2]}_{n}.jpeg" for n in range(2 * count)]
    return [*sick, *(f"{part}/NORMAL/IM-{n:04d}-0001.jpeg" for n in range(count))]


@pytest.fixture
def kermany(bench: Bench) -> Path:
    return bench.draw(bench.folder / "chest_xray", *_kermany("train", 12), *_kermany("test", 4))


@pytest.fixture
def covid4(bench: Bench) -> Path:
    """The COVID-19 Radiography Database: `CLASS/images/` with `CLASS/masks/` beside it."""
    names = [f"{name}/images/{name}-{n}.png" for n in range(15) for name in COVID4_FOLDERS]
    return bench.draw(bench.folder / "COVID-19_Radiography_Dataset", *names, "COVID/masks/COVID-1.png")


@pytest.fixture
def chexpert(bench: Bench) -> Path:
    """Forty training and twelve valid patients; film n has each third label, and the next one uncertain."""
    folder = bench.folder / "CheXpert-v1.0-small"
    header = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS])
    for part, patients, doubt in (("train", range(40), "-1.0"), ("valid", range(64540, 64552), "0.0")):
        paths = [f"{part}/patient{n:05d}/study1/view1_frontal.jpg" for n in patients]
        bench.draw(folder, *paths)
        labels = [[("1.0", doubt, "")[(n + k) % 3] for k in range(14)] for n in patients]
        about = [f"{folder.name}/{path},Female,60,Frontal,AP" for path in paths]
        rows = [",".join([film, *of_film]) for film, of_film in zip(about, labels, strict=True)]
        (folder / f"{part}.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_kermanys_three_classes_to_a_served_file(bench: Bench, kermany: Path) -> None:
    elsewhere = bench.draw(bench.folder / "other", *(f"{name}/{name}{n}.png" for n in range(3) for name in CLASSES))
    run = bench.train("pneumonia3", kermany)
    figures = bench.test(run, kermany, "--external", str(elsewhere), "--flip")
    assert [sum(row) for row in figures["confusion"]] == [4, 4, 4]
    assert figures["decisions"][0]["name"] == "arg max"
    assert sum(f["calibration"]["films"][0] >= 0 for f in figures["labels"]) == 3  # probabilities, not logits
    external = json.loads((bench.folder / "report" / "evaluation-external.json").read_text())
    assert (external["films"], external["name"]) == (9, "external")
    report = (bench.folder / "report" / "report.html").read_text()
    right, wrong = "Found, surest first" in report, "False alarms, surest first" in report and "Missed" in report
    assert right or wrong  # by arg max a film of one class is a false alarm of another
    findings = bench.export(run, kermany).read(Film(draw_phantom(160, 160), Metadata("PNG", 8)), anyway=True).findings
    assert sum(finding.probability for finding in findings) == pytest.approx(1)


def test_pneumonia_is_trained_by_itself_from_kermanys_folders(bench: Bench, kermany: Path) -> None:
    run = bench.train("pneumonia", kermany)
    (label,) = bench.test(run, kermany)["labels"]
    assert (label["label"], label["positives"], label["negatives"]) == ("pneumonia", 8, 4)
    assert (
        len(bench.export(run, kermany).read(Film(draw_phantom(160, 160), Metadata("PNG", 8)), anyway=True).findings)
        == 1
    )


def test_films_that_may_have_taught_a_run_do_not_calibrate_it(
    bench: Bench, kermany: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bench.train("pneumonia", kermany)
    (kermany / "train/NORMAL/IM-0003-0001.jpeg").unlink()
    assert bench.test(run, kermany, "--limit", "6")["decisions"] == []  # the official test films are no others
    assert "Not calibrated, and without operating points: The 10 validation films of" in capsys.readouterr().out
    report = (bench.folder / "report" / "report.html").read_text()
    assert "--data chest_xray --limit 6<" in report
    places = ["--data", str(kermany), "--out", str(bench.folder / "model.onnx"), "--cache", str(bench.folder / "cache")]
    assert main(["export", str(run), *places]) == 1
    assert "are not the 11 that the run held out, so some of them may have taught it" in capsys.readouterr().err
    assert run_test([str(run), "--data", str(kermany), "--limit", "-5"]) == 1
    assert "--limit -5 leaves no film to test on; give 1 or more." in capsys.readouterr().err


def test_pneumonia_is_trained_by_itself_from_class_folders(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    films = [f"{kind}/{kind}{n}.png" for kind in ("PNEUMONIA", "NORMAL") for n in range(15)]
    run = bench.train("pneumonia", bench.draw(bench.folder / "two", *films))
    assert bench.test(run, bench.folder / "two")["labels"][0]["label"] == "pneumonia"
    bench.draw(bench.folder / "two", *(f"NORMAL/more{number}.png" for number in range(4)))
    assert run_test([str(run), "--data", str(bench.folder / "two")]) == 1
    assert "Its test part is drawn as well, so the same holds there" in capsys.readouterr().err


def test_covid3_sees_one_channel_and_tests_on_other_hospitals(bench: Bench) -> None:
    kinds = ("COVID", "PNEUMONIA", "NORMAL")
    inside = [f"internal/{kind}/{kind}{n}.jpg" for kind in kinds for n in range(12)]
    outside = [f"external/{kind}/hannover{kind}{n}.jpg" for kind in kinds for n in range(3)]
    data = bench.draw(bench.folder / "covid", *inside, *outside)
    run = bench.train("covid3", data)
    assert bench.test(run, data, "--external", str(data))["films"] == 12  # about a fifth of the internal films
    external = json.loads((bench.folder / "report" / "evaluation-external.json").read_text())
    assert external["films"] == 9
    first = next(iter(checkpoints.load(run / "best.safetensors").network().trunk.parameters()))
    assert first.shape[1] == 1
    reader = bench.export(run, data)
    assert reader.info.preprocessing.channels == 1
    assert len(reader.read(Film(draw_phantom(160, 160), Metadata("PNG", 8)), anyway=True).findings) == 3


def test_covid4_reads_the_radiography_database(bench: Bench, covid4: Path) -> None:
    run = bench.train("covid4", covid4)
    figures = bench.test(run, covid4)
    assert figures["films"] == 13  # about a fifth of the sixty; masks are no films
    assert np.shape(figures["confusion"]) == (4, 4)
    assert bench.export(run, covid4).info.kind == "multiclass"


@pytest.mark.parametrize(("flag", "recorded"), [(["--uncertain", "ones"], "ones"), ([], "ignore")])
def test_chexpert14_trains_with_uncertain_labels_as_chosen(
    bench: Bench, chexpert: Path, flag: list[str], recorded: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bench.train("chexpert14", chexpert, *flag)
    printed = capsys.readouterr().out
    assert f"train.csv: 0 lateral films left out, uncertain labels: {recorded}." in printed
    record = checkpoints.load(run / "best.safetensors").record
    assert record["uncertain"] == recorded
    assert any(recorded in note for note in record["notes"])
    assert bench.test(run, chexpert)["labels"][0]["positives"] == 4
    assert bench.export(run, chexpert).info.labels == TASKS["chexpert14"].labels
