"""The viewer's functions in a real browser, with literal numbers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser

from cxr.films.prepare import Box
from cxr.films.read import read_film
from tests.desk.desk import Desk
from tests.phantom import phantom_png

Call = Callable[..., Any]
STORED = {"centre": 32768, "width": 65536}
SQUARE, PORT = {"width": 100, "height": 100}, {"width": 400, "height": 200}


@pytest.fixture(scope="module")
def call(browser: Browser, address: str) -> Iterator[Call]:
    """Calls a function of a module under static/viewer/ with plain arguments; typed arrays come back as lists."""
    run = """async ([module, name, given]) => {
        const answer = (await import(`/static/viewer/${module}.js`))[name](...given);
        const plain = (key, value) => (ArrayBuffer.isView(value) ? [...value] : value);
        return JSON.parse(JSON.stringify(answer ?? null, plain));
    }"""
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.goto("/healthz")
        yield lambda module, name, *given: page.evaluate(run, [module, name, given])


# --- window ---


@pytest.mark.parametrize(
    ("grey", "window", "shade"),
    [
        (0, STORED, 0),
        (32767.5, STORED, 0.5),
        (65535, STORED, 1),
        (1999, {"centre": 2048, "width": 97}, 0),
        (2047.5, {"centre": 2048, "width": 97}, 0.5),
        (2095.5, {"centre": 2048, "width": 97}, 1),
        (2047, {"centre": 2048, "width": 1}, 0),
        (2048, {"centre": 2048, "width": 1}, 1),
    ],
)
def test_a_window_shades_grey_as_dicom_says(call: Call, grey: float, window: dict[str, int], shade: float) -> None:
    assert call("window", "shade", grey, window) == pytest.approx(shade)


def test_the_stored_window_is_the_film_in_8_bits_and_inverting_turns_it_round(call: Call) -> None:
    table, inverted = call("window", "lookup", STORED, False), call("window", "lookup", STORED, True)
    assert [table[grey] & 255 for grey in (0, 128, 129, 257, 65535)] == [0, 0, 1, 1, 255]
    assert [f"{inverted[grey]:08x}" for grey in (0, 65535)] == ["ffffffff", "ff000000"]


def test_a_window_of_zero_width_becomes_the_narrowest(call: Call) -> None:
    assert call("window", "limited", {"centre": 70000, "width": 0}) == {"centre": 65536, "width": 1}
    assert call("window", "limited", {"centre": None, "width": None}) == {"centre": 0, "width": 1}


def test_presets_part_a_film_of_dark_and_bright_greys(call: Call) -> None:
    greys = [0] * 50 + [10_000] * 30 + [12_000] * 50 + [40_000] * 50 + [44_000] * 30 + [65535] * 9
    found = call("window", "presets", greys)
    ends = {name: (w["centre"] - w["width"] / 2, w["centre"] + w["width"] / 2) for name, w in found.items()}
    # In bins of 64 greys; borders of pure black and white do not count.
    assert ends["stored"] == (0, 65536)
    assert ends["whole"] == (9984, 44032)
    assert ends["dark"] == (9984, 40064)  # up to the median of the bright half
    assert ends["bright"] == (11968, 44032)


def test_a_film_of_one_grey_has_presets_too(call: Call) -> None:
    assert call("window", "presets", [0, 0])["bright"] == STORED
    assert call("window", "presets", [300] * 9)["dark"] == {"centre": 288, "width": 64}


# --- geometry ---


def test_a_quarter_turn_puts_the_upper_left_corner_on_the_upper_right(call: Call) -> None:
    view = {"zoom": 1, "x": 0.5, "y": 0.5, "turns": 1}
    matrix = call("geometry", "matrixOf", SQUARE, view, PORT)
    assert call("geometry", "toScreen", matrix, {"x": 0, "y": 0}) == {"x": 300, "y": 0}
    assert call("geometry", "toFilm", matrix, {"x": 300, "y": 200}) == {"x": 100, "y": 0}


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_zooming_keeps_the_point_under_the_cursor(call: Call, turns: int) -> None:
    view, at = {"zoom": 2, "x": 0.5, "y": 0.5, "turns": turns}, {"x": 150, "y": 80}
    before = call("geometry", "toFilm", call("geometry", "matrixOf", SQUARE, view, PORT), at)
    closer = call("geometry", "zoomed", SQUARE, view, PORT, at, 1.5)
    assert closer["zoom"] == 3
    assert call("geometry", "toFilm", call("geometry", "matrixOf", SQUARE, closer, PORT), at) == pytest.approx(before)


def test_a_film_cannot_be_lost(call: Call) -> None:
    view = {"zoom": 1, "x": 0.5, "y": 0.5, "turns": 0}
    assert call("geometry", "panned", SQUARE, view, PORT, 9000, -20)["x"] == 0
    assert call("geometry", "panned", SQUARE, view, PORT, 0, -20)["y"] == pytest.approx(0.6)
    assert call("geometry", "zoomed", SQUARE, view, PORT, {"x": 200, "y": 100}, 1e9)["zoom"] == 64


def test_one_to_one_shows_a_film_pixel_on_a_screen_pixel(call: Call) -> None:
    view = {"zoom": 1, "x": 0.5, "y": 0.5, "turns": 0}
    assert call("geometry", "oneToOne", {"width": 800, "height": 800}, view, PORT, 2)["zoom"] == 2


# --- pixels ---


def test_a_film_is_halved_by_means_of_four(call: Call) -> None:
    level = {"width": 3, "height": 2, "grey": [0, 10, 65535, 20, 30, 65535]}
    assert call("pixels", "halved", level) == {"width": 2, "height": 1, "grey": [15, 65535]}


@pytest.mark.parametrize(("scale", "depth"), [(3, 0), (1, 0), (0.51, 0), (0.5, 1), (0.26, 1), (0.25, 2)])
def test_no_pixel_of_the_screen_shows_less_than_there_is(call: Call, scale: float, depth: int) -> None:
    assert call("pixels", "depthFor", scale) == depth


def test_what_is_visible_is_cut_out_with_a_margin(call: Call) -> None:
    seen = {"left": 40, "top": 0, "right": 50, "bottom": 100}
    assert call("pixels", "cropOf", {"width": 50, "height": 50}, 1, seen) == {
        "left": 18, "top": 0, "width": 9, "height": 50,
    }  # fmt: skip


# --- heat maps ---


def test_colours_are_those_with_which_the_desk_paints(call: Call) -> None:
    greys = np.arange(256, dtype=np.uint8)
    for name in ("INFERNO", "VIRIDIS", "CIVIDIS"):
        bgr = cv2.applyColorMap(greys[None], getattr(cv2, f"COLORMAP_{name}"))[0].astype(np.uint32)
        words = np.array(call("colour", "coloured", greys.tolist(), name.lower()), np.uint32)
        assert np.array_equal(words & 0xFFFFFF, bgr[:, 0] * 65536 + bgr[:, 1] * 256 + bgr[:, 2])
        assert np.array_equal(words >> 24, greys)


@pytest.mark.parametrize("box", [Box(), Box(0.0, 0.125, 1.0, 0.875), Box(0.21, 0.0, 0.83, 1.0)])
def test_a_map_is_enlarged_and_cut_as_by_the_desk(call: Call, served_desk: Desk, box: Box) -> None:
    report = served_desk.reader.read(read_film(phantom_png(256)))
    object.__setattr__(report, "box", box)
    label = max(report.findings, key=lambda f: report.map_of(f.label).max()).label
    painted = cv2.imdecode(np.frombuffer(report.heatmap_png(label), np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
    values = report.map_of(label)
    given = {"width": values.shape[1], "height": values.shape[0], "values": values.ravel().tolist()}
    here = call("heat", "onFilm", given, vars(box))
    assert (here["height"], here["width"]) == painted.shape
    assert np.abs(np.reshape(here["values"], painted.shape) - painted.astype(int)).max() <= 1


def test_a_contour_goes_round_what_is_above_the_threshold(call: Call) -> None:
    raster = {"width": 3, "height": 3, "values": [0, 0, 0, 0, 100, 0, 0, 0, 0]}
    pieces = call("contour", "contour", raster, 50)
    up, right, down, left = (1.5, 1), (2, 1.5), (1.5, 2), (1, 1.5)
    around = {frozenset(side) for side in ((up, right), (right, down), (down, left), (left, up))}
    assert {frozenset([(a, b), (c, d)]) for a, b, c, d in pieces} == around
    assert call("contour", "contour", raster, 101) == []


# --- distances and keys ---


LINE, FILM = {"from": {"x": 0, "y": 0}, "to": {"x": 0.3, "y": 0.4}}, {"width": 1000, "height": 1000}


@pytest.mark.parametrize(
    ("spacing", "text"),
    [
        (None, "500 pixels"),
        ({"row": 0.2, "column": 0.2, "calibrated": False}, "100.0 mm at the detector"),
        ({"row": 0.2, "column": 0.2, "calibrated": True}, "100.0 mm"),
        ({"row": 0.1, "column": 0.4, "calibrated": True}, "126.5 mm"),
    ],
)
def test_a_distance_says_its_unit_and_where_it_was_measured(call: Call, spacing: Any, text: str) -> None:
    assert call("measure", "lengthText", LINE, FILM, spacing) == text


@pytest.mark.parametrize(
    ("end", "begin", "place"),
    [
        ({"x": 200, "y": 90}, {"x": 100, "y": 90}, {"x": 210, "y": 90}),
        ({"x": 200, "y": 90}, {"x": 300, "y": 90}, {"x": 90, "y": 90}),
        ({"x": 390, "y": 90}, {"x": 300, "y": 90}, {"x": 296, "y": 72}),
        ({"x": 20, "y": 10}, {"x": 90, "y": 10}, {"x": 4, "y": 28}),
    ],
)
def test_a_length_is_written_where_the_pane_has_room(call: Call, end: Any, begin: Any, place: Any) -> None:
    assert call("measure", "besideEnd", end, begin, 100, 400) == place


def test_every_key_has_a_command_and_stands_in_the_documents(browser: Browser, address: str) -> None:
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.goto("/healthz")
        keys = page.evaluate("import('/static/viewer/keys.js').then((m) => m.KEYS)")
        commands = page.evaluate("import('/static/viewer/commands.js').then((m) => Object.keys(m.COMMANDS))")
    assert {command for _, command, *_ in keys} <= set(commands)
    pressed = [key for names, *_ in keys for key in names]
    assert len(pressed) == len(set(pressed))
    table = (Path(__file__).parents[2] / "docs" / "viewer.md").read_text()
    assert [text for _, _, text, *_ in keys if text and text not in table] == []
