"""A child's pneumonia, answered by a model that tells bacterial, viral and normal apart."""

from pathlib import Path

import numpy as np
import pytest

from cxr.films.film import Film, Metadata
from cxr.reading.derived import DerivedEngine, derived_info
from cxr.reading.engine import Engine
from cxr.reading.reader import Reader
from cxr.reading.report import Report
from cxr.settings import Settings
from tests.phantom import draw_phantom
from tests.reading.tiny import drawn_model, tiny_info, tiny_model

FILM = Film(draw_phantom(128, 128), Metadata("PNG", 8))
LOGITS = (1.0, 3.0, 2.0)  # bacterial, viral, normal
SLOPE = 0.5


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    file = tmp_path_factory.mktemp("models") / "children.onnx"
    return Engine(tiny_model(file, "pneumonia3", LOGITS, (0.5, 0.2, 9.0), SLOPE), Settings(precision="f32"))


@pytest.fixture(scope="module")
def report(engine: Engine) -> Report:
    return Reader(DerivedEngine(engine, "pneumonia"), "youden").read(FILM)


def test_the_probability_is_one_minus_that_of_normal(engine: Engine, report: Report) -> None:
    powers = np.exp(SLOPE * np.array(LOGITS))
    (finding,) = report.findings
    assert finding.label == "pneumonia"
    assert finding.probability == pytest.approx(1 - powers[2] / powers.sum(), abs=1e-6)
    normal = Reader(engine, "youden").read(FILM).finding("normal")
    assert finding.probability == pytest.approx(1 - normal.probability, abs=1e-6)


def test_the_map_is_the_strongest_of_the_two_diseases_each_on_its_own_scale(report: Report) -> None:
    # bacterial 0.5 of 1, viral 0.2 of 2; that of normal is no evidence of a disease
    assert report.maps.shape == (1, 2, 2)
    assert set(report.maps.ravel()) == {128}


def test_operating_points_are_those_of_normal_seen_from_the_other_side() -> None:
    source, derived = tiny_info("pneumonia3"), derived_info(tiny_info("pneumonia3"), "pneumonia")
    point, normal = derived.operating_points["youden"]["pneumonia"], source.operating_points["youden"]["normal"]
    assert point.threshold == pytest.approx(0.7)
    assert (point.sensitivity, point.specificity) == (normal.specificity, normal.sensitivity) == (0.7, 0.8)
    assert point.positives == 10 + 20
    one, other = derived.operating_points["sensitivity90"], source.operating_points["specificity90"]
    assert one["pneumonia"].threshold == pytest.approx(1 - other["normal"].threshold)
    assert one["pneumonia"].sensitivity == other["normal"].specificity


def test_the_report_says_for_whom_it_is_and_which_file_answered(engine: Engine, report: Report) -> None:
    assert (report.model.task, report.model.title) == ("pneumonia", "Child's pneumonia")
    assert report.model.audience.startswith("children")
    assert report.model.sha256 == engine.sha256
    assert not report.model.multiclass


def test_the_interval_is_that_of_normal_turned_round(tmp_path: Path) -> None:
    engine = Engine(drawn_model(tmp_path / "drawn.onnx", "pneumonia3", LOGITS), Settings(precision="f32"))
    (finding,) = Reader(DerivedEngine(engine, "pneumonia"), "youden").read(FILM).findings
    normal = Reader(engine, "youden").read(FILM).finding("normal").interval
    assert finding.interval == pytest.approx((1 - normal[1], 1 - normal[0]), abs=1e-6)
    assert finding.interval[1] - finding.interval[0] > 0.05


def test_a_model_without_draws_derives_no_interval(report: Report) -> None:
    assert report.findings[0].interval is None
