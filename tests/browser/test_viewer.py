"""The viewer as hands and keys meet it, and what goes wrong."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.conftest import LIT, OpenPage, Shoot, open_film
from tests.browser.viewing import PANE, canvas, corner, middle, state
from tests.desk.desk import Desk
from tests.phantom import phantom_png


def test_choosing_a_finding_and_moving_the_slider_change_the_canvas(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.click("#film-only")
    expect(page.locator("#shown")).to_have_text("Film without a heat map")
    alone = canvas(page)
    page.click(f"#findings a[data-label={LIT}]")
    expect(page.locator("#shown")).to_have_text(f"Heat map: {LIT}")
    full = canvas(page)
    page.locator("#opacity").fill("20")
    expect(page.locator("#opacity-value")).to_have_text("20 %")
    assert len({alone, full, canvas(page)}) == 3
    page.locator("#opacity").fill("0")
    assert canvas(page) == alone
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
    canvas(page)
    red, _, blue, _ = page.evaluate(at, [0.25, 0.75])
    assert red > blue + 30


def test_dragging_sets_the_window_and_reset_brings_the_stored_one_back(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    before = canvas(page)
    page.locator(PANE).hover(position={"x": 300, "y": 200})
    page.mouse.down()
    page.mouse.move(*middle(page, 40, 60))
    page.mouse.up()
    expect(page.locator("#preset")).to_have_value("")
    assert canvas(page) != before
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#preset")).to_have_value("stored")
    assert canvas(page) == before


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
    seen = {canvas(page)}
    page.locator(PANE).focus()
    keys = ["4", "i", "r", "+", "ArrowLeft", "Shift+ArrowLeft", "o", "f", "Shift+R"]
    for key in keys:
        page.keyboard.press(key)
        seen.add(canvas(page))
    assert len(seen) == 1 + len(keys)
    page.keyboard.press("x")
    assert state(page, "[viewer.active.reading.view, viewer.active.reading.preset]") == [
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
    view = state(page, "viewer.active.reading.view")
    assert all(isinstance(value, float | int) for value in view.values())  # NaN would come as None
    assert view["zoom"] != 1


def test_an_emptied_level_leaves_the_window_as_it_is(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.locator("#level").fill("")
    page.keyboard.press("Tab")
    expect(page.locator("#level")).to_have_value("50")
    assert state(page, "viewer.active.reading.window") == {"centre": 32768, "width": 65536}


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
    assert state(page, "viewer.active.reading.inverted") is False


def test_a_window_of_zero_width_is_the_narrowest_and_said_to_be(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.locator("#width").fill("0")
    page.locator("#width").press("Tab")
    expect(page.locator("#window-note")).to_contain_text("everything is black or white")
    assert state(page, "viewer.active.reading.window.width") == 1


def test_a_distance_is_in_millimetres_whichever_way_the_film_lies(open_page: OpenPage, dicom_path: str) -> None:
    page = open_page(dicom_path)
    open_film(page)
    page.keyboard.press("t")
    for below in (0, 60):
        scale = state(page, "Math.hypot(...viewer.active.matrix.slice(0, 2))")
        page.mouse.move(*middle(page, 0, below))
        page.mouse.down()
        page.mouse.move(*middle(page, 100 * scale, below))
        page.mouse.up()
        page.keyboard.press("r")
    expect(page.locator("#lines li")).to_have_count(2)
    for text in page.locator("#lines li").all_inner_texts():
        assert "20.0 mm at the detector" in text
    page.get_by_role("button", name="Delete the line 1").click()
    expect(page.locator("#lines li")).to_have_count(1)
    page.get_by_role("button", name="Delete all").click()
    expect(page.locator("#measured")).to_be_hidden()


def test_a_list_of_lines_that_stays_keeps_its_buttons(open_page: OpenPage, film_path: str) -> None:
    """One that is replaced under a pressed mouse is not clicked."""
    page = open_page(film_path)
    open_film(page)
    page.keyboard.press("t")
    page.locator(PANE).focus()
    for key in ("ArrowLeft", "Enter", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Delete the line 1").focus()
    page.keyboard.press("r")
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    expect(page.get_by_role("button", name="Delete the line 1")).to_be_focused()


def test_a_distance_is_measured_by_keys(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.keyboard.press("t")
    page.locator(PANE).focus()
    for key in ["ArrowLeft", "Enter", *["ArrowDown"] * 5, "Shift+ArrowDown", "Enter"]:
        page.keyboard.press(key)
    scale = state(page, "Math.hypot(...viewer.active.matrix.slice(0, 2))")
    expect(page.locator("#lines li")).to_contain_text(f"1: {round(51 / scale)} pixels")
    page.keyboard.press("Delete")
    expect(page.locator("#measured")).to_be_hidden()


def test_two_fingers_zoom(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path, has_touch=True, viewport={"width": 390, "height": 844})
    open_film(page)
    page.locator(PANE).scroll_into_view_if_needed()
    x, y = middle(page, 0, 0)
    touch = page.context.new_cdp_session(page)

    def send(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}] if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 40)
    for apart in (60, 80):
        send("touchMove", apart)
    send("touchEnd", 0)
    assert state(page, "viewer.active.reading.view.zoom") == pytest.approx(2, rel=0.15)


def test_film_and_heat_map_stand_side_by_side_and_move_together(
    open_page: OpenPage, film_path: str, shoot: Shoot
) -> None:
    page = open_page(f"{film_path}?finding={LIT}")
    open_film(page)
    page.get_by_role("button", name="Film and heat map side by side").click()
    page.get_by_role("button", name="Contour").click()
    alone, laid_over = canvas(page, ".pane.beside"), canvas(page)
    assert alone != laid_over
    expect(page.locator(".pane.beside [data-corner=what]")).to_have_text("Film alone")
    page.locator(".pane.beside").hover()
    page.mouse.wheel(0, -300)
    assert canvas(page, ".pane.beside") != alone and canvas(page) != laid_over
    page.locator("#colours").select_option("viridis")
    shoot(page, "viewer-beside")
    page.locator("#threshold").fill("95")
    expect(corner(page, "what")).to_contain_text("nothing reaches the contour at 95 %")


def test_the_magnifier_enlarges_what_is_under_the_pointer(open_page: OpenPage, film_path: str, shoot: Shoot) -> None:
    page = open_page(f"{film_path}?finding={LIT}")
    open_film(page)
    before = canvas(page)
    page.keyboard.press("m")
    page.mouse.move(*middle(page, -60, 40))
    assert canvas(page) != before
    shoot(page, "viewer-magnifier")
    page.keyboard.press("w")
    assert canvas(page) == before


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
    preview = canvas(page)
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
    expect(corner(page, "window")).to_contain_text("inverted")


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
