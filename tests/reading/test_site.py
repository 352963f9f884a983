"""A site's own calibration: what it changes, and the models that it is refused for."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr.errors import ModelFileError, SettingError
from cxr.films.film import Film, Metadata
from cxr.modelfile import OperatingPoint, Platt, SiteSample
from cxr.reading.exported import Exported
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.reading.site import SiteCalibration
from cxr.scaling import sigmoid
from cxr.settings import Settings
from predictions import Predictor
from tests.phantom import draw_phantom
from tests.reading.tiny import SETS, drawn_model, tiny_model

FILM = Film(draw_phantom(128, 128), Metadata("PNG", 8))
SAMPLE = SiteSample("2025-03-04", 120, 100, ("Mass",))
POINT = OperatingPoint(0.03, 0.9, 0.6, 12)
DRAWS = ((0.5, -4.0), (0.5, -2.0))


def site(file: Path, task: str = "chestxray8", label: str = "Mass", **changes: Any) -> SiteCalibration:
    made = SiteCalibration(
        "tiny", Exported.read(file).sha256, task, dataclasses.replace(SAMPLE, labels=(label,)),
        {label: Platt(0.5, -3.0)}, {name: {label: POINT} for name in SETS}, {label: DRAWS},
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def write(file: Path, made: SiteCalibration) -> Settings:
    file.write_text(made.to_json())
    return Settings(calibration=str(file), precision="f32")


@pytest.fixture
def adults(tmp_path: Path) -> Path:
    return drawn_model(tmp_path / "adults.onnx", "chestxray8", [2.0] * 8)


@pytest.fixture
def children(tmp_path: Path) -> Path:
    return drawn_model(tmp_path / "children.onnx", "pneumonia3", [1.0, 3.0, 2.0])


def test_a_site_replaces_the_calibration_of_its_labels_alone(adults: Path, tmp_path: Path) -> None:
    settings = write(tmp_path / "site.json", site(adults))
    own, ours = Reader.load(adults).read(FILM), Reader.load(adults, settings).read(FILM)
    mass = ours.finding("Mass")
    assert mass.probability == pytest.approx(float(sigmoid(0.5 * 2.0 - 3.0)))
    assert mass.operating_point == POINT and mass.above
    low, high = sigmoid(np.array([0.5 * 2.0 - 4.0, 0.5 * 2.0 - 2.0]))
    assert mass.interval == pytest.approx((low + 0.025 * (high - low), high - 0.025 * (high - low)))
    assert [f for f in ours.findings if f.label != "Mass"] == [f for f in own.findings if f.label != "Mass"]
    assert ours.to_dict()["model"]["calibration"] == dataclasses.asdict(SAMPLE)
    assert own.model.calibration is None


def test_the_desk_and_the_predictor_read_with_the_calibration_of_the_setting(adults: Path, tmp_path: Path) -> None:
    settings = write(tmp_path / "site.json", site(adults))
    doors = Readers.find(settings, [adults], shipped=None).of(), Predictor.load(adults, settings).reader
    asked = [door.read(FILM) for door in doors]
    assert [report.model.calibration for report in asked] == [SAMPLE, SAMPLE]


def test_a_calibration_of_another_model_is_refused_at_the_start_and_both_models_are_named(
    adults: Path, tmp_path: Path
) -> None:
    settings = write(tmp_path / "site.json", site(adults, sha256="ab" * 32, model="other"))
    sentence = r"site\.json was made for the model other \(SHA-256 abababababab\), .* is read by tiny chestxray8 \("
    with pytest.raises(SettingError, match=sentence):
        Readers.find(settings, [adults], shipped=None)
    with pytest.raises(SettingError, match=sentence):
        Reader.load(adults, settings)


def test_a_model_file_that_is_exchanged_after_the_start_is_refused(adults: Path, tmp_path: Path) -> None:
    readers = Readers.find(write(tmp_path / "site.json", site(adults)), [adults], shipped=None)
    tiny_model(adults, "chestxray8", [0.0] * 8)
    with pytest.raises(ModelFileError, match=r"adults\.onnx was changed since the desk was started; restart the desk"):
        readers.of()


def test_a_task_that_nothing_serves_is_refused_by_a_desk_and_left_aside_by_a_single_model(
    adults: Path, children: Path, tmp_path: Path
) -> None:
    settings = write(tmp_path / "site.json", site(children, "pneumonia3", "normal"))
    (tmp_path / "shipped").mkdir()
    with pytest.raises(SettingError, match="model tiny of the task pneumonia3, which no model here serves"):
        Readers.find(settings, [adults], shipped=tmp_path / "shipped")
    assert Readers.find(settings, [adults], shipped=None).of().identity.calibration is None
    assert Reader.load(adults, settings).identity.calibration is None


def test_two_calibrations_of_one_task_are_refused_and_both_named(adults: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        write(file, site(adults))
    with pytest.raises(SettingError, match=r"a\.json and .*b\.json are both calibrations of the task chestxray8"):
        Reader.load(adults, Settings(calibration=os.pathsep.join(map(str, files))))


def _of_classes(model: Path) -> SiteCalibration:
    labels = ("bacterial", "viral", "normal")
    return site(
        model, "pneumonia3", sample=dataclasses.replace(SAMPLE, labels=labels),
        platt={label: Platt(1.0, shift) for label, shift in zip(labels, (0.0, 0.0, 2.0), strict=True)},
        operating_points={name: dict.fromkeys(labels, POINT) for name in SETS},
        resampled=dict.fromkeys(labels, DRAWS),
    )  # fmt: skip


def test_a_derived_task_follows_the_calibration_of_its_classes(children: Path, tmp_path: Path) -> None:
    readers = Readers.find(write(tmp_path / "site.json", _of_classes(children)), [children], shipped=None)
    normal, ill = readers.of("pneumonia3").read(FILM).finding("normal"), readers.of("pneumonia").read(FILM).findings[0]
    assert ill.probability == pytest.approx(1 - normal.probability, abs=1e-6)
    assert ill.interval == pytest.approx((1 - normal.interval[1], 1 - normal.interval[0]), abs=1e-6)
    assert ill.operating_point.threshold == pytest.approx(0.97)
    assert readers.tasks["pneumonia"].operating_points["youden"]["pneumonia"].threshold == pytest.approx(0.97)
    assert readers.of("pneumonia").identity.calibration is not None


def test_a_derived_task_with_a_calibration_of_its_own_rests_on_the_models(children: Path, tmp_path: Path) -> None:
    write(tmp_path / "classes.json", _of_classes(children))
    write(tmp_path / "own.json", site(children, "pneumonia", "pneumonia"))
    both = Settings(calibration=os.pathsep.join([str(tmp_path / "classes.json"), str(tmp_path / "own.json")]))
    readers = Readers.find(dataclasses.replace(both, precision="f32"), [children], shipped=None)
    log_odds = float(Readers.find(Settings(precision="f32"), [children], shipped=None).of("pneumonia").logits(FILM)[0])
    (finding,) = readers.of("pneumonia").read(FILM).findings
    assert finding.probability == pytest.approx(float(sigmoid(0.5 * log_odds - 3.0)), abs=1e-6)
    low, high = sigmoid(0.5 * log_odds - 4.0), sigmoid(0.5 * log_odds - 2.0)
    assert low < finding.interval[0] < finding.interval[1] < high
    assert readers.of("pneumonia").identity.calibration.labels == ("pneumonia",)


def _spoilt(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": 9}, "has schema 9, this version reads 1; make it again"),
        ({"platt": {}}, "its labels are not the same in all parts"),
        ({"platt": {"Mass": {"slope": float("nan"), "intercept": 0}}}, "a number is missing or not finite"),
        ({"platt": {"Mass": {"slope": "steep", "intercept": 0}}}, "is not a calibration of this project"),
        ({"resampled": {"Mass": [[1, 0, 0]]}}, "is not a calibration of this project"),
        ({"task": []}, "its model, sha256 or task is no text"),
        ({"sha256": None}, "its model, sha256 or task is no text"),
        ({"platt": {"Mass": {"slope": -0.5, "intercept": 0}}}, "its slope of Mass is -0.5, not above 0"),
        ({"resampled": {"Mass": DRAWS, "Nodule": DRAWS[:1]}}, "have not the same number of draws"),
        ({"sample": None}, "is not a calibration of this project"),
        ({"more": 1}, "is not a calibration of this project"),
    ],
)
def test_a_calibration_with_a_wrong_part_is_refused_with_its_file_and_the_fault(
    adults: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    file = tmp_path / "site.json"
    file.write_text(_spoilt(site(adults).to_json(), **changes))
    with pytest.raises(SettingError, match=rf"site\.json .*{sentence}"):
        SiteCalibration.read(file)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{"])
def test_a_file_that_is_no_json_object_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "site.json").write_bytes(content)
    with pytest.raises(SettingError, match=r"site\.json is not a calibration"):
        SiteCalibration.read(tmp_path / "site.json")


def test_a_calibration_that_is_not_there_is_refused_by_its_name() -> None:
    with pytest.raises(SettingError, match=r"nowhere\.json cannot be read \(No such file"):
        SiteCalibration.read(Path("nowhere.json"))


def test_a_calibration_is_the_same_after_it_was_written_and_read(adults: Path, tmp_path: Path) -> None:
    write(tmp_path / "site.json", site(adults))
    assert dataclasses.replace(SiteCalibration.read(tmp_path / "site.json"), file="") == site(adults)


def test_a_calibration_of_a_label_that_the_model_does_not_have_is_refused(adults: Path, tmp_path: Path) -> None:
    settings = write(tmp_path / "site.json", site(adults, label="Cough"))
    with pytest.raises(
        SettingError, match=r"site\.json calibrates Cough, which the model tiny chestxray8 does not know"
    ):
        Readers.find(settings, [adults], shipped=None)
