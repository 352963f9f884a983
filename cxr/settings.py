"""Settings of the desk, each read from an environment variable `CXR_<NAME>`.

docs/settings.md lists them all; a test holds it complete.
"""

import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from cxr.errors import SettingError

MIB = 2**20


def _setting(default: Any, help: str, choices: tuple[str, ...] = (), least: int = 0) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices, "least": least})


@dataclass(frozen=True)
class Settings:
    """All settings, with their defaults. `Settings.from_environment()` applies the `CXR_*` variables."""

    instance_path: str = _setting("instance", "folder of the database and of the stored films")
    database_url: str = _setting(
        "", "SQLAlchemy URL of an SQLite file or of PostgreSQL; empty: desk.sqlite3 in the instance folder"
    )
    storage_url: str = _setting("", "folder or bucket (s3://...) of the film bytes; empty: in the instance folder")
    secret_key: str = _setting("", "key that signs sessions and forms; required under gunicorn")
    allowed_hosts: str = _setting(
        "", "host names, separated by commas, that a shared desk answers to; empty: loopback names alone"
    )
    model: str = _setting(
        "", f"exported model files to read with, separated by {os.pathsep!r}; empty: the shipped ones"
    )
    shipped_models: bool = _setting(True, "beside the files given, serve the shipped models of other tasks")
    calibration: str = _setting(
        "", f"files of `python -m cxr calibrate`, separated by {os.pathsep!r}; empty: the models' own calibration"
    )
    operating_point: str = _setting(
        "youden", "operating points by which a finding counts as above", ("youden", "sensitivity90", "specificity90")
    )
    engine: str = _setting(
        "openvino", "what runs the network; onnxruntime has to be installed", ("openvino", "onnxruntime")
    )
    cache_path: str = _setting(
        "", "folder of compiled models, `off` for none; empty: cxr in the user's cache folder (XDG_CACHE_HOME)"
    )
    precision: str = _setting(
        "auto", "arithmetic of the engine; auto: bf16 where the processor has it", ("auto", "bf16", "f32")
    )
    threads: int = _setting(0, "threads of one engine; 0: the machine's cores shared among the workers")
    workers: int = _setting(1, "processes that share this machine, told to the engine so that it divides the cores")
    max_film_bytes: int = _setting(64 * MIB, "largest film file, in bytes")
    max_film_pixels: int = _setting(64_000_000, "largest film, in pixels (rows x columns)")
    max_inflated_bytes: int = _setting(256 * MIB, "most bytes that a compressed file may unpack to")
    max_request_films: int = _setting(100, "most films in one upload, those in its ZIP files counted")
    max_request_bytes: int = _setting(512 * MIB, "largest upload, in bytes, also once its ZIP files are unpacked")
    reads_at_once: int = _setting(2, "films that one process decodes and reads at the same time; bounds its memory")
    max_waiting: int = _setting(16, "uploads that one process lets wait to be read; more are answered 503 at once")
    lease_s: int = _setting(60, "seconds after which a film that a crashed process was reading is read again", least=1)
    keep_days: int = _setting(0, "days after which films are deleted with all that was made of them; 0: never")
    session_idle_s: int = _setting(1800, "seconds without a request after which a session ends")
    session_most_s: int = _setting(43_200, "seconds after which a session ends in any case")
    sign_in_tries: int = _setting(5, "wrong passwords after which a name has to wait; ten times as many of an address")
    sign_in_wait_s: int = _setting(900, "seconds for which tries to sign in are counted")
    proxies: int = _setting(0, "proxies in front of a shared desk whose X-Forwarded-For names the client's address")
    heatmap_files: bool = _setting(False, "write heat-map PNGs to static/gradcam; on in the local desk of main.py")

    @property
    def model_files(self) -> tuple[Path, ...]:
        """The files that `model` names."""
        return tuple(Path(name) for name in self.model.split(os.pathsep) if name)

    @property
    def calibration_files(self) -> tuple[Path, ...]:
        """The files that `calibration` names."""
        return tuple(Path(name) for name in self.calibration.split(os.pathsep) if name)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Defaults overlaid with `CXR_*` variables.

        Raises:
            SettingError: a value is not a number where one is needed, or not one of the choices.
        """
        environ = os.environ if environ is None else environ
        given = {f.name: _parse(f, environ[variable(f.name)]) for f in fields(cls) if variable(f.name) in environ}
        return cls(**given)


def variable(name: str) -> str:
    """Environment variable of the setting `name`: `max_film_bytes` -> `CXR_MAX_FILM_BYTES`."""
    return f"CXR_{name.upper()}"


def _parse(setting: "Field[Any]", text: str) -> Any:
    assert setting.default is not MISSING
    kind, choices = type(setting.default), setting.metadata["choices"]
    if choices and text not in choices:
        raise SettingError(f"{variable(setting.name)} is {text!r}; choose one of {', '.join(choices)}.")
    if kind is bool:
        return _parse_bool(setting.name, text)
    if kind is int:
        return _parse_count(setting.name, text, setting.metadata["least"])
    return text


def _parse_bool(name: str, text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
    if text.lower() not in known:
        raise SettingError(f"{variable(name)} is {text!r}; write 1 or 0.")
    return known[text.lower()]


def _parse_count(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise SettingError(f"{variable(name)} is {text!r}; write a whole number from {least} up.")
    return int(text)
