"""The viewer in a real browser: its functions with literal numbers, then its page as hands and keys meet it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from cxr.films.prepare import Box
from cxr.films.read import read_film
from tests.browser.conftest import LIT, SCREENSHOTS, OpenPage, Shoot, open_film
from tests.desk.desk import Desk
from tests.phantom import phantom_dicom, phantom_png

Call = Callable[..., Any]
THEMES = ("light", "dark")
PANE = ".pane:not(.beside)"
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


# --- the page ---


def _canvas(page: Page, selector: str = PANE) -> str:
    """What a pane shows, once it was drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(page.eval_on_selector(f"{selector} canvas", "canvas => canvas.toDataURL()"))


def _state(page: Page, what: str, module: str = "film") -> Any:
    return page.evaluate(f"import('/static/viewer/{module}.js').then(({{ viewer }}) => {what})")


def _corner(page: Page, name: str) -> Any:
    return page.locator(f"{PANE} [data-corner={name}]").first


def test_choosing_a_finding_and_moving_the_slider_change_the_canvas(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.click("#film-only")
    expect(page.locator("#shown")).to_have_text("Film without a heat map")
    alone = _canvas(page)
    page.click(f"#findings a[data-label={LIT}]")
    expect(page.locator("#shown")).to_have_text(f"Heat map: {LIT}")
    full = _canvas(page)
    page.locator("#opacity").fill("20")
    expect(page.locator("#opacity-value")).to_have_text("20 %")
    assert len({alone, full, _canvas(page)}) == 3
    page.locator("#opacity").fill("0")
    assert _canvas(page) == alone
    assert page.url.endswith(f"?finding={LIT}")


def test_the_heat_map_lies_where_the_model_looked(open_page: OpenPage, film_path: str) -> None:
    page = open_page(f"{film_path}?finding={LIT}")
    open_film(page)
    at = """async ([x, y]) => {
        const { viewer } = await import("/static/viewer/film.js");
        const { toScreen } = await import("/static/viewer/geometry.js");
        const place = toScreen(viewer.active.matrix, { x: x * 640, y: y * 640 });
        return [...viewer.active.context.getImageData(place.x, place.y, 1, 1).data];
    }"""
    red, _, blue, _ = page.evaluate(at, [0.25, 0.75])  # the middle of the lit quarter, below on the left
    assert red > blue + 30
    red, green, blue, _ = page.evaluate(at, [0.75, 0.25])  # the opposite quarter stays grey
    assert red == green == blue
    page.keyboard.press("Shift+R")  # by 90 degrees to the left: what lay below on the left lies below on the right
    _canvas(page)
    red, _, blue, _ = page.evaluate(at, [0.25, 0.75])
    assert red > blue + 30


def test_dragging_sets_the_window_and_reset_brings_the_stored_one_back(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    before = _canvas(page)
    page.locator(PANE).hover(position={"x": 300, "y": 200})
    page.mouse.down()
    page.mouse.move(*_middle(page, 40, 60))
    page.mouse.up()
    expect(page.locator("#preset")).to_have_value("")
    assert _canvas(page) != before
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#preset")).to_have_value("stored")
    assert _canvas(page) == before


def _middle(page: Page, dx: float, dy: float) -> tuple[float, float]:
    box = page.locator(PANE).first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy


def test_the_viewer_works_by_keys_alone(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.locator("#findings a").nth(6).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#findings a").nth(6)).to_have_attribute("aria-current", "true")
    page.keyboard.press("j")
    expect(page.locator("#findings a").nth(7)).to_have_attribute("aria-current", "true")
    page.locator("#opacity").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#opacity-value")).to_have_text("61 %")
    seen = {_canvas(page)}
    page.locator(PANE).focus()
    keys = ["4", "i", "r", "+", "ArrowLeft", "Shift+ArrowLeft", "o", "f", "Shift+R"]
    for key in keys:
        page.keyboard.press(key)
        seen.add(_canvas(page))
    assert len(seen) == 1 + len(keys)
    page.keyboard.press("x")
    assert _state(page, "[viewer.active.reading.view, viewer.active.reading.preset]") == [
        {"zoom": 1, "x": 0.5, "y": 0.5, "turns": 0}, "stored",
    ]  # fmt: skip
    page.keyboard.press("?")
    expect(page.locator(".help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".help")).to_be_hidden()
    page.locator(PANE).focus()
    page.keyboard.press("Tab")  # out of the film again: nothing holds the focus
    assert page.evaluate("document.activeElement.closest('.pane')") is None


def test_a_pane_that_is_shown_no_more_takes_no_key(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.keyboard.press("s")
    page.locator(".pane.beside").click()
    page.keyboard.press("s")
    page.keyboard.press("+")
    page.keyboard.press("o")
    view = _state(page, "viewer.active.reading.view")
    assert all(isinstance(value, float | int) for value in view.values())  # NaN would come as None
    assert view["zoom"] != 1


def test_an_emptied_level_leaves_the_window_as_it_is(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.locator("#level").fill("")
    page.keyboard.press("Tab")
    expect(page.locator("#level")).to_have_value("50")
    assert _state(page, "viewer.active.reading.window") == {"centre": 32768, "width": 65536}


def test_single_keys_can_be_switched_off_and_never_act_while_typing(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.locator("#level").focus()
    page.keyboard.press("i")
    page.keyboard.press("?")
    expect(page.locator(".help")).to_be_hidden()
    page.get_by_role("button", name="?", exact=True).click()
    page.locator("#shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("i")
    assert _state(page, "viewer.active.reading.inverted") is False


def test_a_window_of_zero_width_is_the_narrowest_and_said_to_be(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.locator("#width").fill("0")
    page.locator("#width").press("Tab")
    expect(page.locator("#window-note")).to_contain_text("everything is black or white")
    assert _state(page, "viewer.active.reading.window.width") == 1


@pytest.fixture(scope="module")
def dicom_path(served_desk: Desk) -> str:
    """Page of a DICOM film, 400 x 300 pixels, its spacing known at the detector."""
    film = phantom_dicom(400, 300, ImagerPixelSpacing=[0.2, 0.2])
    return str(served_desk.api_upload("phantom 0002.dcm", film).get_json()["links"]["page"])


def test_a_distance_is_in_millimetres_whichever_way_the_film_lies(open_page: OpenPage, dicom_path: str) -> None:
    page = open_page(dicom_path)
    open_film(page)
    page.keyboard.press("t")
    for below in (0, 60):
        scale = _state(page, "Math.hypot(...viewer.active.matrix.slice(0, 2))")
        page.mouse.move(*_middle(page, 0, below))
        page.mouse.down()
        page.mouse.move(*_middle(page, 100 * scale, below))
        page.mouse.up()
        page.keyboard.press("r")
    expect(page.locator("#lines li")).to_have_count(2)
    for text in page.locator("#lines li").all_inner_texts():
        assert "20.0 mm at the detector" in text
    page.get_by_role("button", name="Delete the line 1").click()
    expect(page.locator("#lines li")).to_have_count(1)
    page.get_by_role("button", name="Delete all").click()
    expect(page.locator("#measured")).to_be_hidden()


def test_a_distance_is_measured_by_keys(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.keyboard.press("t")
    page.locator(PANE).focus()
    for key in ["ArrowLeft", "Enter", *["ArrowDown"] * 5, "Shift+ArrowDown", "Enter"]:
        page.keyboard.press(key)
    scale = _state(page, "Math.hypot(...viewer.active.matrix.slice(0, 2))")
    expect(page.locator("#lines li")).to_contain_text(f"1: {round(51 / scale)} pixels")
    page.keyboard.press("Delete")
    expect(page.locator("#measured")).to_be_hidden()


def test_two_fingers_zoom(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path, has_touch=True, viewport={"width": 390, "height": 844})
    open_film(page)
    page.locator(PANE).scroll_into_view_if_needed()
    x, y = _middle(page, 0, 0)
    touch = page.context.new_cdp_session(page)

    def send(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}] if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 40)
    for apart in (60, 80):
        send("touchMove", apart)
    send("touchEnd", 0)
    assert _state(page, "viewer.active.reading.view.zoom") == pytest.approx(2, rel=0.15)


def test_film_and_heat_map_stand_side_by_side_and_move_together(
    open_page: OpenPage, film_path: str, shoot: Shoot
) -> None:
    page = open_page(f"{film_path}?finding={LIT}")
    open_film(page)
    page.get_by_role("button", name="Film and heat map side by side").click()
    page.get_by_role("button", name="Contour").click()
    alone, laid_over = _canvas(page, ".pane.beside"), _canvas(page)
    assert alone != laid_over
    expect(page.locator(".pane.beside [data-corner=what]")).to_have_text("Film alone")
    page.locator(".pane.beside").hover()
    page.mouse.wheel(0, -300)
    assert _canvas(page, ".pane.beside") != alone and _canvas(page) != laid_over
    page.locator("#colours").select_option("viridis")
    shoot(page, "viewer-beside")
    page.locator("#threshold").fill("95")
    expect(_corner(page, "what")).to_contain_text("nothing reaches the contour at 95 %")


def test_the_magnifier_enlarges_what_is_under_the_pointer(open_page: OpenPage, film_path: str, shoot: Shoot) -> None:
    page = open_page(f"{film_path}?finding={LIT}")
    open_film(page)
    before = _canvas(page)
    page.keyboard.press("m")
    page.mouse.move(*_middle(page, -60, 40))
    assert _canvas(page) != before
    shoot(page, "viewer-magnifier")
    page.keyboard.press("w")
    assert _canvas(page) == before


def test_how_a_person_likes_to_look_is_kept_and_nothing_of_the_film(open_page: OpenPage, film_path: str) -> None:
    page = open_page(f"{film_path}?finding={LIT}")
    open_film(page)
    page.locator("#opacity").fill("35")
    page.locator("#colours").select_option("cividis")
    page.reload()
    open_film(page)
    expect(page.locator("#opacity-value")).to_have_text("35 %")
    expect(page.locator("#colours")).to_have_value("cividis")
    kept = page.evaluate("({ ...localStorage })")
    assert json.loads(kept.pop("cxr.viewer")) == {
        "colours": "cividis", "opacity": 35, "contour": False, "threshold": 50, "shortcuts": True,
    }  # fmt: skip
    assert not any("viewer" in name for name in kept)


# --- what goes wrong ---


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """Not by open_page: the browser itself writes a failed request to the console."""
    with browser.new_context(base_url=address, viewport={"width": 1440, "height": 900}) as context:
        yield context


def test_pixels_that_do_not_come_are_asked_for_again(context: BrowserContext, film_path: str) -> None:
    page = context.new_page()
    page.route("**/pixels", lambda route: route.abort())
    page.goto(f"{film_path}?finding={LIT}")
    expect(page.locator(".stage-notice")).to_contain_text("could not be loaded in full detail")
    preview = _canvas(page)
    page.unroute("**/pixels")
    page.get_by_role("button", name="Try again").click()
    open_film(page)
    expect(page.locator(".stage-notice")).to_be_hidden()
    assert len(preview) > 10_000  # the preview and its heat map were there all the time


def test_a_film_that_was_deleted_while_open_stays_and_is_said_to_be_gone(
    context: BrowserContext, served_desk: Desk
) -> None:
    film = served_desk.api_upload("gone.png", phantom_png(256, seed=5)).get_json()
    page = context.new_page()
    page.goto(film["links"]["page"])
    open_film(page)
    served_desk.client.delete(film["links"]["self"])
    page.locator("#findings a").nth(3).click()
    expect(page.locator(".stage-notice p")).to_contain_text("This film was deleted from the desk")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    page.keyboard.press("i")
    expect(_corner(page, "window")).to_contain_text("inverted")


def test_a_film_larger_than_any_canvas_is_shown(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    shown = page.evaluate("""async () => {
        const { viewer } = await import("/static/viewer/film.js");
        const { Film } = await import("/static/viewer/pixels.js");
        const pane = viewer.active;
        pane.reading.set({ film: new Film(40000, 500, new Uint16Array(40000 * 500).fill(32768)), label: "" });
        pane.draw();
        const { width, height } = pane.canvas;
        return [[...pane.context.getImageData(width / 2, height / 2, 1, 1).data], width <= 1440];
    }""")
    assert shown == [[128, 128, 128, 255], True]


# --- two films ---


@pytest.fixture(scope="module")
def pair_path(film_path: str, dicom_path: str) -> str:
    left, right = dicom_path.rpartition("/")[2], film_path.rpartition("/")[2]
    return f"/compare?left={left}&right={right}&right-finding={LIT}"


def _views(page: Page) -> Any:
    return _state(page, "viewer.readings.map((r) => [r.view.zoom, r.inverted, r.window.width])", "compare")


def test_two_films_share_zoom_and_window_until_they_are_unlinked(open_page: OpenPage, pair_path: str) -> None:
    page = open_page(pair_path)
    open_film(page)
    page.locator(".pane").first.hover()
    page.mouse.wheel(0, -250)
    page.keyboard.press("i")
    left, right = _views(page)
    assert left == right
    assert left[0] == pytest.approx(np.exp(0.5)) and left[1] is True
    page.keyboard.press("4")
    left, right = _views(page)
    assert left[2] != right[2]  # each the window of its own histogram
    page.get_by_role("button", name="Link the films").click()
    page.locator(".pane").last.click()
    page.keyboard.press("x")
    left, right = _views(page)
    assert left[0] == pytest.approx(np.exp(0.5)) and right[:2] == [1, False]


def test_each_of_two_films_has_its_own_finding(open_page: OpenPage, pair_path: str) -> None:
    page = open_page(pair_path)
    open_film(page)
    page.locator("select[name=left-finding]").select_option("Mass")
    assert _state(page, "viewer.readings.map((reading) => reading.label)", "compare") == ["Mass", LIT]
    assert "left-finding=Mass" in page.url
    page.keyboard.press("Escape")
    page.locator(".pane").first.focus()
    page.keyboard.press("j")
    one, other = _state(page, "viewer.readings.map((reading) => reading.label)", "compare")
    assert one == other != "Mass"


def test_two_films_are_shown_without_javascript(open_page: OpenPage, pair_path: str) -> None:
    page = open_page(pair_path, java_script_enabled=False)
    page.locator("select[name=left-finding]").select_option("Mass")
    page.get_by_role("button", name="Show").first.click()
    expect(page.locator(".heatmap").first).to_have_attribute("alt", "Heat map of Mass")


# --- looks and time ---


SIZES = {
    "phone": {"width": 360, "height": 740},
    "tablet": {"width": 820, "height": 1100},
    "wide": {"width": 2560, "height": 1300},
}


@pytest.mark.parametrize("theme", THEMES)
def test_the_viewer_has_no_accessibility_fault(
    open_page: OpenPage, film_path: str, pair_path: str, shoot: Shoot, theme: str
) -> None:
    for name, path in {"viewer": f"{film_path}?finding={LIT}", "compare": pair_path}.items():
        page = open_page(path, color_scheme=theme)
        open_film(page)
        shoot(page, f"{name}-{theme}")
        if name == "viewer":
            page.locator("summary", has_text="Compare with").click()
            page.keyboard.press("s")
            _measure(page)
            shoot(page, f"viewer-measured-{theme}")
        _assert_accessible(page, name)
        page.keyboard.press("?")
        shoot(page, f"{name}-help-{theme}")
        _assert_accessible(page, f"help of {name}")


def _measure(page: Page) -> None:
    page.keyboard.press("t")
    page.mouse.move(*_middle(page, -100, -40))
    page.mouse.down()
    page.mouse.move(*_middle(page, 60, 50))
    page.mouse.up()


def _assert_accessible(page: Page, where: str) -> None:
    faults = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in faults] == [], where


@pytest.mark.parametrize("size", SIZES)
def test_the_viewer_fits_screens_of_all_sizes(
    open_page: OpenPage, film_path: str, pair_path: str, shoot: Shoot, size: str
) -> None:
    for name, path in {"viewer": f"{film_path}?finding={LIT}", "compare": pair_path}.items():
        page = open_page(path, viewport=SIZES[size])
        open_film(page)
        shoot(page, f"{name}-{size}")
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]


REDRAW = """async ([what, times]) => {
    const { viewer } = await import("/static/viewer/film.js");
    const pane = viewer.active;
    const ms = [];
    for (let k = 0; k < times; k++) {
        const begun = performance.now();
        if (what === "window") pane.reading.set({ window: { centre: 30000 + 100 * k, width: 30000 } });
        else pane.pan(k % 2 ? 7 : -7, 3);
        pane.draw();
        pane.context.getImageData(0, 0, 1, 1); // drawing is over when a pixel can be read
        ms.push(performance.now() - begun);
    }
    return ms.sort((a, b) => a - b)[times >> 1];
}"""


SCREENS = {"1440 x 900": {}, "2560 x 1300, two pixels for each": {"viewport": SIZES["wide"], "device_scale_factor": 2}}


def test_how_long_a_redraw_takes(open_page: OpenPage, served_desk: Desk) -> None:
    """Measured, printed and written beside the screenshots; how fast a machine is decides no test."""
    film = served_desk.api_upload("large.png", phantom_png(2048, bits=16, seed=7)).get_json()
    lines = ["2048 x 2048 film, median of 21 redraws"]
    for screen, options in SCREENS.items():
        page = open_page(film["links"]["page"], **options)
        open_film(page)
        page.click("#film-only")
        size = page.eval_on_selector(f"{PANE} canvas", "canvas => `${canvas.width} x ${canvas.height}`")
        lines += [f"{screen}, canvas {size}, {name}: {ms:.1f} ms" for name, ms in _redraws(page).items()]
    print("\n".join(lines))
    SCREENSHOTS.mkdir(exist_ok=True)
    (SCREENSHOTS / "redraw.txt").write_text("\n".join(lines) + "\n")


def _redraws(page: Page) -> dict[str, float]:
    """Milliseconds by what changes."""
    told = {}
    for zoom in ("fit", "one-to-one"):
        _state(page, f"viewer.run('{zoom}')")
        for what in ("window", "pan"):
            told[f"{zoom}, {what}"] = page.evaluate(REDRAW, [what, 21])
    return told
