"""The desk as people meet it, in a real browser."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from cxr.desk.pictures import thumbnail_jpeg
from cxr.desk.store import NewFilm
from cxr.films.read import read_film
from tests.browser.conftest import OpenPage
from tests.desk.desk import Desk
from tests.phantom import phantom_png

Shoot = Callable[[Page, str], None]
THEMES = ("light", "dark")
LIT = "Effusion"


@pytest.fixture(scope="session")
def phantom() -> dict[str, Any]:
    return {"name": "phantom.png", "mimeType": "image/png", "buffer": phantom_png(640)}


@pytest.fixture(scope="session")
def classes_path(served_desk: Desk, phantom: dict[str, Any]) -> str:
    """Page of a film that was read by a multiclass model."""
    film = served_desk.api_upload("child.png", phantom["buffer"], task="pneumonia3").get_json()
    return str(film["links"]["page"])


@pytest.fixture(scope="session")
def film_path(served_desk: Desk, phantom: dict[str, Any]) -> str:
    """Page of a film that was read, whose map of LIT is then lit below on the left, whatever the model's weights."""
    film = read_film(phantom["buffer"])
    report = served_desk.reader.read(film)
    maps = np.zeros_like(report.maps)
    _, height, width = maps.shape
    rows, columns = np.mgrid[0.5:height, 0.5:width]
    distance = np.hypot(rows / height - 0.75, columns / width - 0.25)
    maps[[f.label for f in report.findings].index(LIT)] = 230 * np.exp(-((distance / 0.18) ** 2))
    new = NewFilm("phantom 0001.png", "PNG", report.model.task, "upload", thumbnail_jpeg(film), gradcam=False)
    store = served_desk.intake.store
    claim = store.add(phantom["buffer"], new, lease_s=60)
    assert store.begin(claim, lease_s=60) and store.finish(claim, dataclasses.replace(report, maps=maps))
    return f"/films/{claim.film_id}"


LETTER = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"This is a letter, not a film."}


def _canvas(page: Page) -> str:
    return str(page.eval_on_selector("#canvas", "canvas => canvas.toDataURL()"))


def _open_film(page: Page) -> None:
    page.wait_for_selector("[data-detail=full]")


def test_a_film_is_uploaded_and_its_fourteen_findings_are_shown(open_page: OpenPage, phantom: dict[str, Any]) -> None:
    page = open_page()
    page.set_input_files("#film", phantom)
    page.wait_for_url("**/films/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("phantom.png")
    expect(page.locator("#findings li")).to_have_count(14)
    _open_film(page)
    assert page.eval_on_selector("#canvas", "canvas => [canvas.width, canvas.height]") == [640, 640]


def test_choosing_a_finding_and_moving_the_slider_change_the_canvas(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    _open_film(page)
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
    _open_film(page)
    read = "([x, y]) => [...document.getElementById('canvas').getContext('2d').getImageData(x, y, 1, 1).data]"
    red, _, blue, _ = page.evaluate(read, [160, 480])  # the middle of the lit quarter, below on the left
    assert red > blue + 30
    red, green, blue, _ = page.evaluate(read, [480, 160])  # the opposite quarter stays grey
    assert red == green == blue


def test_findings_are_reached_and_chosen_by_keyboard(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    _open_film(page)
    page.locator("#findings a").nth(6).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#findings a").nth(6)).to_have_attribute("aria-current", "true")
    page.locator("#opacity").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#opacity-value")).to_have_text("61 %")


def test_a_film_is_read_for_the_task_that_was_chosen(
    open_page: OpenPage, phantom: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page()
    page.get_by_role("radio", name="bacterial, viral or none").check()
    page.set_input_files("#film", phantom)
    page.wait_for_url("**/films/*")
    expect(page.locator("#findings-title")).to_have_text("Most probable: Viral")
    expect(page.locator("#findings li")).to_have_count(3)
    _open_film(page)
    shoot(page, "classes")


def test_files_chosen_one_after_another_keep_the_task_of_their_time(
    open_page: OpenPage, phantom: dict[str, Any]
) -> None:
    page = open_page()
    page.set_input_files("#film", [phantom, LETTER])
    page.get_by_role("radio", name="bacterial, viral or none").check()
    page.set_input_files("#film", phantom)
    expect(page.locator("#tally")).to_have_text("2 read, 1 refused")
    outcomes = page.locator(".uploads .done p").all_inner_texts()
    assert "Viral is most probable. See the reading" in outcomes[1]
    assert "Viral" not in outcomes[0]


def test_a_refused_file_is_told_beside_the_film_that_was_read(
    open_page: OpenPage, phantom: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page()
    page.set_input_files("#film", [phantom, LETTER])
    expect(page.locator("#tally")).to_have_text("1 read, 1 refused")
    expect(page.locator(".uploads .problem")).to_contain_text("letter.txt")
    expect(page.locator(".uploads .problem p")).to_contain_text("PNG")
    shoot(page, "uploaded")
    page.get_by_role("link", name="See the reading").click()
    expect(page.locator("#findings li")).to_have_count(14)


def test_files_can_be_dropped(open_page: OpenPage) -> None:
    page = open_page()
    dropped = "() => { const t = new DataTransfer(); t.items.add(new File(['hello'], 'dropped.txt')); return t; }"
    page.dispatch_event("#upload", "drop", {"dataTransfer": page.evaluate_handle(dropped)})
    expect(page.locator(".uploads .problem")).to_contain_text("dropped.txt")


def test_upload_reading_and_deleting_work_without_javascript(
    open_page: OpenPage, phantom: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page(java_script_enabled=False)
    page.get_by_role("radio", name="fourteen findings").check()
    shoot(page, "upload-without-script")
    page.set_input_files("#film", [phantom, LETTER])
    page.get_by_role("button", name="Read the films").click()
    expect(page.locator(".refusals")).to_contain_text("letter.txt")
    shoot(page, "list-without-script")
    page.get_by_role("link", name="phantom.png").click()
    expect(page.locator("#findings li")).to_have_count(14)
    page.locator("#findings a").nth(2).click()
    expect(page.locator(".heatmap")).to_be_visible()
    shoot(page, "film-without-script")
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete phantom.png for good").click()
    page.wait_for_url("**/films")


def test_a_film_is_deleted_only_after_a_second_click(
    open_page: OpenPage, served_desk: Desk, phantom: dict[str, Any]
) -> None:
    film = served_desk.api_upload("to be deleted.png", phantom["buffer"]).get_json()
    page = open_page("/films")
    page.locator("summary[aria-label='Delete to be deleted.png']").click()
    expect(page.get_by_role("link", name="to be deleted.png")).to_be_visible()
    page.get_by_role("button", name="Delete to be deleted.png for good").click()
    expect(page.get_by_role("link", name="to be deleted.png")).to_have_count(0)
    assert served_desk.client.get(film["links"]["page"]).status_code == 404


@pytest.mark.parametrize("theme", THEMES)
def test_no_page_has_an_accessibility_fault(
    open_page: OpenPage, film_path: str, classes_path: str, shoot: Shoot, theme: str
) -> None:
    pages = {"upload": "/", "films": "/films", "film": f"{film_path}?finding={LIT}", "classes": classes_path}
    pages |= {"models": "/models", "card": "/models/chestxray14", "own-card": "/models/pneumonia3"}
    for name, path in pages.items():
        page = open_page(path, color_scheme=theme)
        if name in ("film", "classes"):
            _open_film(page)
        shoot(page, f"{name}-{theme}")
        for summary in page.locator(".more-about summary, .confirm summary >> nth=0").all():
            summary.click()
        _assert_accessible(page, f"{name} {theme}")


@pytest.mark.parametrize("theme", THEMES)
def test_refusals_and_lists_of_refusals_are_accessible(
    open_page: OpenPage, phantom: dict[str, Any], theme: str
) -> None:
    page = open_page("/", color_scheme=theme, java_script_enabled=False)
    page.set_input_files("#film", [phantom, LETTER])
    page.get_by_role("button", name="Read the films").click()
    _assert_accessible(open_page(page.url, color_scheme=theme), f"list {theme}")
    page = open_page("/", color_scheme=theme)
    page.set_input_files("#film", [LETTER, phantom])
    expect(page.locator("#tally")).to_have_text("1 read, 1 refused")
    _assert_accessible(page, f"uploaded {theme}")


@pytest.mark.parametrize("path", ["/", "/films", "/models", "/models/pneumonia3"])
def test_a_phone_needs_no_sideways_scrolling(open_page: OpenPage, film_path: str, shoot: Shoot, path: str) -> None:
    name = path.strip("/").replace("/", "-") or "upload"
    for shot, address in {name: path, "film": f"{film_path}?finding={LIT}"}.items():
        page = open_page(address, viewport={"width": 360, "height": 740}, device_scale_factor=2)
        shoot(page, f"{shot}-phone")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_results_page_is_light(open_page: OpenPage, film_path: str) -> None:
    page = open_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page.goto(film_path)
    _open_film(page)
    page.wait_for_load_state("networkidle")
    besides = {url: size for url, size in sizes.items() if not url.endswith(("/film.png", "/pixels"))}
    assert sum(besides.values()) < 250_000, besides


def _assert_accessible(page: Page, where: str) -> None:
    faults = Axe().run(page).response["violations"]
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in faults] == [], where


@pytest.mark.parametrize("theme", THEMES)
def test_the_error_page_is_accessible(browser: Browser, address: str, shoot: Shoot, theme: str) -> None:
    # Not by open_page: the browser itself writes an answer of 404 to the console.
    with browser.new_context(base_url=address, color_scheme=theme) as context:
        page = context.new_page()
        page.goto("/films/0123456789abcdef0123")
        shoot(page, f"error-{theme}")
        _assert_accessible(page, f"error {theme}")
