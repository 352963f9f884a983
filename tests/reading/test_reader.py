"""The engine and the one pipeline, with the shipped model."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cxr.errors import ModelFileError, SettingError, UnreadableFilm
from cxr.films.film import Film, Metadata
from cxr.films.prepare import prepare
from cxr.films.read import read_film
from cxr.modelfile import METADATA_KEY, ModelInfo
from cxr.reading.engine import SHIPPED, Engine, _threads
from cxr.reading.engine_openvino import precision_of
from cxr.reading.reader import Reader
from cxr.scaling import sigmoid
from cxr.settings import Settings
from cxr.tasks import CHESTXRAY14
from predictions import Predictor
from tests.phantom import draw_phantom, phantom_png
from tests.reading.tiny import DRAWS, drawn_model, tiny_info, tiny_model, without_calibration, write_model

PHANTOM = Film(draw_phantom(128, 128), Metadata("PNG", 8))


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


def test_a_film_has_fourteen_findings_and_maps(reader: Reader) -> None:
    report = reader.read(read_film(phantom_png(side=256)))
    assert tuple(f.label for f in report.findings) == CHESTXRAY14
    assert report.maps.shape == (14, 7, 7)
    assert all(0 < f.probability < 1 for f in report.findings)
    assert report.check.accepted
    assert report.versions["engine"].startswith("OpenVINO")
    assert report.milliseconds.keys() == {"prepare", "engine", "check"}


def test_probabilities_are_the_calibrated_logits_of_the_engine(reader: Reader) -> None:
    pixels = draw_phantom(300, 250)
    engine = Engine(SHIPPED)
    x, box = prepare(pixels, engine.info.preprocessing)
    platt = [engine.info.platt[label] for label in CHESTXRAY14]
    expected = [
        sigmoid(p.slope * z + p.intercept) for p, z in zip(platt, engine.run(x).logits[0].astype(float), strict=True)
    ]
    report = reader.read(Film(pixels, Metadata("PNG", 8)))
    np.testing.assert_allclose([f.probability for f in report.findings], expected, atol=1e-4)
    assert report.box == box


def test_films_read_at_once_do_not_mix(reader: Reader) -> None:
    films = [Film(draw_phantom(256, 256, seed) * (0.5 + seed / 16), Metadata("PNG", 8)) for seed in range(4)] * 5
    alone = [reader.read(film) for film in films[:4]]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(reader.read, films))
    for number, report in enumerate(together):
        np.testing.assert_allclose(
            [f.probability for f in report.findings], [f.probability for f in alone[number % 4].findings], atol=1e-5
        )
        assert np.abs(report.maps.astype(int) - alone[number % 4].maps).max() <= 1


def test_outputs_of_one_call_are_not_overwritten_by_the_next() -> None:
    engine = Engine(SHIPPED)
    random = np.random.default_rng(0)
    first = engine.run(random.normal(size=(1, 3, 224, 224)).astype(np.float32))
    kept = first.logits.copy()
    engine.run(random.normal(size=(1, 3, 224, 224)).astype(np.float32))
    np.testing.assert_array_equal(first.logits, kept)


def test_the_public_face_reads_a_path_and_bytes_alike(tmp_path: Path) -> None:
    predictor = Predictor.load()
    (tmp_path / "film.png").write_bytes(phantom_png(side=256))
    by_path, by_bytes = predictor.predict(tmp_path / "film.png"), predictor.predict(phantom_png(side=256))
    assert by_path.findings == by_bytes.findings


def test_the_public_face_refuses_what_is_no_film() -> None:
    with pytest.raises(UnreadableFilm):
        Predictor.load().predict(phantom_png(side=256)[:300])


def test_a_missing_model_is_named() -> None:
    with pytest.raises(ModelFileError, match=r"The model file 'nothing\.onnx' cannot be opened"):
        Reader.load("nothing.onnx")


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    file = tmp_path / "half.onnx"
    file.write_bytes(SHIPPED.read_bytes()[:100_000])
    with pytest.raises(ModelFileError, match=r"half\.onnx cannot be read: it is damaged"):
        Reader.load(file)


def test_a_model_of_another_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"other\.onnx was not exported by this project"):
        Engine(_identity(tmp_path / "other.onnx"))


def test_a_model_with_other_outputs_is_refused(tmp_path: Path) -> None:
    text = Engine(SHIPPED).info.to_json()
    with pytest.raises(ModelFileError, match=r"has outputs \['y'\]"):
        Engine(_identity(tmp_path / "other.onnx", text))


def test_metadata_that_cannot_be_read_is_told_with_the_file(tmp_path: Path) -> None:
    file = write_model(tmp_path / "strange.onnx", replace(tiny_info("covid3"), kind="ordinal"), [0.0] * 3, [0.0] * 3)
    with pytest.raises(ModelFileError, match=r"strange\.onnx: The model file is of kind 'ordinal'"):
        Engine(file)


def test_classes_are_calibrated_by_one_temperature(tmp_path: Path) -> None:
    file = tiny_model(tmp_path / "tiny.onnx", "covid3", [2.0, 4.0, 0.0], slope=0.5)
    report = Reader.load(file, Settings(precision="f32")).read(Film(draw_phantom(128, 128), Metadata("PNG", 8)))
    expected = np.exp([1.0, 2.0, 0.0]) / np.exp([1.0, 2.0, 0.0]).sum()
    np.testing.assert_allclose([f.probability for f in report.findings], expected, atol=1e-6)
    assert [f.above for f in report.findings] == [False, True, False]
    assert report.model.multiclass


def test_the_interval_is_the_middle_of_what_the_draws_of_the_calibration_say(tmp_path: Path) -> None:
    logits = [2.0, -1.0, *[0.0] * 6]
    reader = Reader.load(drawn_model(tmp_path / "drawn.onnx", "chestxray8", logits), Settings(precision="f32"))
    first, second, *others = reader.read(PHANTOM).findings
    # 2.5 % of 41 draws lie below the second one: slopes 0.81 and 1.19
    assert first.interval == pytest.approx(sigmoid(np.array([1.62, 2.38])), abs=1e-6)
    assert second.interval == pytest.approx(sigmoid(np.array([-1.19, -0.81])), abs=1e-6)
    assert others[0].interval == (0.5, 0.5)


def test_classes_are_drawn_together(tmp_path: Path) -> None:
    logits = np.array([2.0, 1.0, 0.0])
    reader = Reader.load(drawn_model(tmp_path / "drawn.onnx", "covid3", logits), Settings(precision="f32"))
    drawn = np.array([np.exp(slope * logits) / np.exp(slope * logits).sum() for slope, _ in DRAWS])
    told = np.array([finding.interval for finding in reader.read(PHANTOM).findings])
    np.testing.assert_allclose(told.T, np.percentile(drawn, [2.5, 97.5], axis=0), atol=1e-6)


def test_a_label_without_draws_has_no_interval_and_the_others_keep_theirs(tmp_path: Path) -> None:
    info = replace(tiny_info("chestxray8"), resampled={"Effusion": DRAWS})
    file = write_model(tmp_path / "some.onnx", info, [1.0] * 8, [0.0] * 8)
    told = {f.label: f.interval for f in Reader.load(file).read(PHANTOM).findings}
    assert told.pop("Effusion") is not None
    assert set(told.values()) == {None}


def test_a_model_file_written_before_there_were_intervals_is_read_without_them(tmp_path: Path) -> None:
    stored = json.loads(tiny_info("chestxray8").to_json())
    del stored["resampled"], stored["site"]
    info = ModelInfo.from_json(json.dumps(stored))
    report = Reader.load(write_model(tmp_path / "old.onnx", info, [1.0] * 8, [0.0] * 8)).read(PHANTOM)
    assert {f.interval for f in report.findings} == {None}
    assert report.model.calibration is None


@pytest.mark.parametrize("draws", [{"Mass": [[1.0, float("nan")]]}, {"Mass": [[1.0]]}, {"Mass": []}])
def test_draws_that_are_no_draws_are_refused(draws: object) -> None:
    stored = json.loads(tiny_info("chestxray8").to_json())
    with pytest.raises(ModelFileError, match="export it again"):
        ModelInfo.from_json(json.dumps({**stored, "resampled": draws}))


def test_a_label_without_calibration_and_operating_points_gets_the_plain_sigmoid(tmp_path: Path) -> None:
    info = without_calibration(tiny_info("chestxray8", slope=0.5), "Mass")
    file = write_model(tmp_path / "eight.onnx", info, [1.0] * 8, [0.0] * 8)
    report = Reader.load(file, Settings(precision="f32")).read(Film(draw_phantom(128, 128), Metadata("PNG", 8)))
    assert Reader.load(file).info.uncalibrated == ("Mass",)
    assert report.finding("Mass").probability == pytest.approx(sigmoid(1.0))
    assert report.finding("Nodule").probability == pytest.approx(sigmoid(0.5))
    assert report.finding("Mass").operating_point is None and not report.finding("Mass").above


@pytest.mark.parametrize("part", ["platt", "map_scale"])
def test_a_multiclass_model_without_a_part_of_a_class_is_refused(part: str) -> None:
    stored = json.loads(tiny_info("covid3").to_json())
    del stored[part]["covid"]
    with pytest.raises(ModelFileError, match="and its other parts differ in covid; export it again"):
        ModelInfo.from_json(json.dumps(stored))


def test_a_label_with_operating_points_but_no_calibration_is_refused() -> None:
    info = Engine(SHIPPED).info
    lacking = replace(info, platt={label: p for label, p in info.platt.items() if label != "Mass"})
    with pytest.raises(ModelFileError, match=r"operating points .* and its other parts differ in Mass"):
        ModelInfo.from_json(lacking.to_json())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}'])
def test_metadata_of_another_schema_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match="export it again"):
        ModelInfo.from_json(text)


def test_operating_points_that_the_model_does_not_have_are_a_wrong_setting() -> None:
    with pytest.raises(SettingError, match="CXR_OPERATING_POINT"):
        Reader.load(settings=Settings(operating_point="guess"))


def test_the_precision_is_f32_by_setting_and_stated() -> None:
    assert Engine(SHIPPED, Settings(precision="f32")).version.endswith("f32")


def test_bf16_is_chosen_only_with_amx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr("cxr.reading.engine_openvino.CPU_FLAGS", flags)
    flags.write_text("flags: avx512_bf16")
    assert precision_of("auto") == "f32"
    flags.write_text("flags: avx512_bf16 amx_bf16")
    assert precision_of("auto") == "bf16"


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.reading.engine.cores", lambda: 8)
    assert _threads(Settings(workers=4)) == 2
    assert _threads(Settings(workers=16)) == 1
    assert _threads(Settings(workers=4, threads=3)) == 3
    assert _threads(Settings()) == 0


def test_bf16_agrees_with_f32(reader: Reader) -> None:
    """Both precisions run on any processor, if slowly."""
    film = Film(draw_phantom(256, 256), Metadata("PNG", 8))
    bf16 = Reader.load(settings=Settings(precision="bf16")).read(film)
    f32 = Reader.load(settings=Settings(precision="f32")).read(film)
    difference = [a.probability - b.probability for a, b in zip(bf16.findings, f32.findings, strict=True)]
    assert np.abs(difference).max() < 0.02


def _identity(file: Path, metadata: str = "") -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if metadata:
        helper.set_model_props(model, {METADATA_KEY: metadata})
    onnx.save(model, file)
    return file
