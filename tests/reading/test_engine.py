"""Two engines that agree, share a machine, keep what they compiled, and never pass on what is no number."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from cxr.errors import EngineFault, SettingError
from cxr.reading import engine_cache
from cxr.reading.engine import RUNTIMES, SHIPPED, Engine, Network
from cxr.settings import Settings
from tests.phantom import draw_phantom
from tests.reading.tiny import SIDE, tiny_model

FILM = np.stack([draw_phantom(224, 224)] * 3)[None] * 2 - 1
TINY = np.zeros((1, 3, SIDE, SIDE), np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny.onnx", "covid3", [0.0, 2.0, 1.0], [0.0, 2.0, 3.0])


def never(*_: object, **__: object) -> None:
    raise AssertionError("compiled again")


@pytest.mark.parametrize("throughput", [False, True])
def test_both_engines_give_the_same_probabilities_and_maps(throughput: bool) -> None:
    first = Engine(SHIPPED, Settings(precision="f32"), throughput=throughput)
    second = Engine(SHIPPED, Settings(engine="onnxruntime"), throughput=throughput)
    ours, theirs = first.run(FILM), second.run(FILM)
    np.testing.assert_allclose(
        first.info.probabilities(theirs.logits), first.info.probabilities(ours.logits), atol=1e-4
    )
    np.testing.assert_allclose(theirs.maps, ours.maps, atol=1e-3 * float(ours.maps.max()))
    np.testing.assert_allclose(theirs.distance, ours.distance, rtol=1e-3)
    assert second.version.startswith("ONNX Runtime")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells which cores a thread may take")
@pytest.mark.parametrize("throughput", [False, True])
@pytest.mark.parametrize("name", RUNTIMES)
def test_no_thread_is_pinned_so_that_processes_can_share_the_cores(name: str, throughput: bool) -> None:
    Engine(SHIPPED, Settings(engine=name), throughput=throughput).run(FILM)
    allowed = {frozenset(os.sched_getaffinity(int(task.name))) for task in Path("/proc/self/task").iterdir()}
    assert allowed == {frozenset(os.sched_getaffinity(0))}


def test_onnx_runtime_calculates_in_f32_alone(model: Path) -> None:
    with pytest.raises(SettingError, match="CXR_PRECISION is 'bf16'; ONNX Runtime calculates in f32"):
        Engine(model, Settings(engine="onnxruntime", precision="bf16"))


def test_an_engine_that_is_not_installed_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SettingError, match="pip install onnxruntime"):
        Engine(model, Settings(engine="onnxruntime"))


@pytest.mark.parametrize("name", RUNTIMES)
def test_what_was_hashed_runs_when_the_file_is_replaced_meanwhile(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_model, expected = RUNTIMES[name], Engine(model)

    def after_a_release(*given: Any) -> Network:
        tiny_model(model, "covid3", [5.0, 0.0, 0.0], [0.0, 2.0, 3.0])
        return compile_model(*given)

    monkeypatch.setitem(RUNTIMES, name, after_a_release)
    engine = Engine(model, Settings(engine=name, cache_path=str(tmp_path / "cache")))
    assert engine.sha256 == expected.sha256
    np.testing.assert_allclose(engine.run(TINY).logits, expected.run(TINY).logits)


@pytest.mark.parametrize("name", RUNTIMES)
def test_what_is_no_number_is_a_fault_and_not_an_answer(name: str, tmp_path: Path) -> None:
    engine = Engine(tiny_model(tmp_path / "nan.onnx", "covid3", [0.0, np.nan, 1.0], [1.0] * 3), Settings(engine=name))
    with pytest.raises(EngineFault, match=r"The engine \((OpenVINO|ONNX Runtime) .* gave numbers that are not finite"):
        engine.run(TINY)


@pytest.mark.parametrize("throughput", [False, True])
def test_the_second_start_takes_what_the_first_compiled(
    throughput: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(cache_path=str(tmp_path / "cache"))
    first = Engine(SHIPPED, settings, throughput=throughput).run(FILM)
    monkeypatch.setattr(openvino.Core, "compile_model", never)
    second = Engine(SHIPPED, settings, throughput=throughput).run(FILM)
    np.testing.assert_array_equal(second.logits, first.logits)
    np.testing.assert_array_equal(second.maps, first.maps)


@pytest.mark.parametrize("damage", [b"", b"half a file"])
def test_a_damaged_file_of_the_cache_is_replaced(damage: bytes, model: Path, tmp_path: Path) -> None:
    settings = Settings(cache_path=str(tmp_path / "cache"))
    Engine(model, settings)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(damage)
    assert np.isfinite(Engine(model, settings).run(TINY).logits).all()
    assert engine_cache.load(kept.parent, kept.stem) is not None


def test_what_openvino_does_not_take_is_compiled_anew(model: Path, tmp_path: Path) -> None:
    settings = Settings(cache_path=str(tmp_path))
    Engine(model, settings)
    (kept,) = tmp_path.glob("*.cxr-compiled")
    engine_cache.store(tmp_path, kept.stem, b"whole, and no network")
    assert np.isfinite(Engine(model, settings).run(TINY).logits).all()


def test_a_cache_that_cannot_be_written_is_done_without(model: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("no folder")
    assert np.isfinite(Engine(model, Settings(cache_path=str(tmp_path / "taken"))).run(TINY).logits).all()


def test_a_file_that_nothing_has_asked_for_in_a_month_goes(tmp_path: Path) -> None:
    engine_cache.store(tmp_path, "old", b"network")
    (tmp_path / "another program's").write_text("kept")
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))
    engine_cache.store(tmp_path, "new", b"network")
    assert engine_cache.load(tmp_path, "old") is None
    assert (tmp_path / "another program's").exists()
    kept = engine_cache.load(tmp_path, "new")
    assert kept is not None and kept.tobytes() == b"network"


def test_the_cache_is_where_the_setting_or_the_users_own_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert engine_cache.cache_folder(Settings()) == Path("/caches/cxr")
    assert engine_cache.cache_folder(Settings(cache_path="/kept")) == Path("/kept")
    assert engine_cache.cache_folder(Settings(cache_path="off")) is None
