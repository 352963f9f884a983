"""From a film's bytes to its answer: the usual way against this project through HTTP, and where the time goes."""

import argparse
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import cv2
import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.desks import Desk, desk
from benchmarks.films import detector_films, png_film
from benchmarks.measuring import Part, Row, in_turn, ratio, spread
from benchmarks.usual import HookedGradCam
from cxr.desk.pictures import thumbnail_jpeg
from cxr.films.read import read_film
from cxr.learning.models import build
from cxr.reading.reader import Reader

SIZE = 224
STAGES = 15  # runs of each stage


class UsualWay:
    """Decoded by Pillow or pydicom, read by torch, a backward pass and a PNG overlay for each finding."""

    def __init__(self) -> None:
        net = build("resnet50v2", "lse", labels=14, channels_in=3, seed=0).eval()
        self._cam = HookedGradCam(net, net.trunk)

    def __call__(self, film: bytes) -> list[bytes]:
        """Overlays of one film at its full size."""
        grey = _decoded(film)  # (H, W) uint8
        small = np.asarray(Image.fromarray(grey).convert("RGB").resize((SIZE, SIZE)), np.float32) / 127.5 - 1
        _, maps = self._cam(torch.from_numpy(small.transpose(2, 0, 1)[None].copy()))
        return [_overlay(grey, each.numpy()) for each in maps[0]]


def _decoded(film: bytes) -> NDArray[np.uint8]:
    if film.startswith(b"\x89PNG"):
        return np.asarray(Image.open(io.BytesIO(film)).convert("L"))
    stored = pydicom.dcmread(io.BytesIO(film)).pixel_array.astype(np.float32)
    return ((stored - stored.min()) / (stored.max() - stored.min()) * 255).astype(np.uint8)


def _overlay(grey: NDArray[np.uint8], heat: NDArray[np.float32]) -> bytes:
    enlarged = cv2.resize(heat / max(float(heat.max()), 1e-12), grey.shape[::-1])
    colours = cv2.applyColorMap((enlarged * 255).astype(np.uint8), cv2.COLORMAP_JET)
    blended = cv2.addWeighted(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), 0.6, colours, 0.4, 0)
    return bytes(cv2.imencode(".png", blended)[1])


def measure(options: argparse.Namespace) -> Part:
    films = {"PNG, 1024 px": png_film(options.films), **detector_films(options.films)}
    usual, reader = UsualWay(), Reader.load()
    with desk() as opened:
        opened.wait_until_ready()
        rows = [_row(kind, film, usual, reader, opened, options.budget) for kind, film in films.items()]
    note = (
        "The DICOM film is the PNG enlarged to 2500 x 2048 and 12 bits with noise. Stages in ms, each measured by "
        "itself in this process; the rest is the database, HTTP and JSON. Overlays are drawn when they are asked for."
    )
    return Part("Film to answer", rows, note)


def _row(kind: str, film: bytes, usual: UsualWay, reader: Reader, opened: Desk, budget_s: float) -> Row:
    opened.upload(film)
    spent = in_turn({"usual": lambda: usual(film), "desk": lambda: opened.upload(film)}, budget_s, told=median)
    stages = _stages(film, reader)
    answer_ms = median(spent["desk"]) * 1e3
    return {
        "film": kind,
        "usual way, ms": median(spent["usual"]) * 1e3,
        "this project by HTTP, ms": answer_ms,
        "spread": spread(spent["desk"], 1e3),
        "times faster": ratio(spent["usual"], spent["desk"]),
        **stages,
        "the rest": answer_ms - sum(stages.values()),
    }


def _stages(film: bytes, reader: Reader) -> dict[str, float]:
    """Milliseconds, median."""
    spent: dict[str, list[float]] = {}
    for _ in range(STAGES):
        with _timed(spent, "decode"):
            decoded = read_film(film)
        prepared = reader.preparation(decoded)
        with _timed(spent, "finish"):
            report = reader.finish(prepared, anyway=True)
        for stage, ms in report.milliseconds.items():
            spent.setdefault(stage, []).append(ms)
        with _timed(spent, "thumbnail"):
            thumbnail_jpeg(decoded)
    told = {stage: median(each) for stage, each in spent.items()}
    return {**told, "finish": told["finish"] - told["engine"]}


@contextmanager
def _timed(spent: dict[str, list[float]], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    spent.setdefault(stage, []).append((time.perf_counter() - began) * 1e3)
