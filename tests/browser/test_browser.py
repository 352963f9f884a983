"""The desk as people meet it, in a real browser."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import LIT, OpenPage, open_film
from tests.desk.desk import Desk


def _canvas(page: Page) -> str:
    return str(page.eval_on_selector("#canvas", "canvas => canvas.toDataURL()"))


def test_a_film_is_uploaded_and_its_fourteen_findings_are_shown(open_page: OpenPage, phantom: dict[str, Any]) -> None:
    page = open_page()
    page.set_input_files("#film", phantom)
    page.wait_for_url("**/films/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("phantom.png")
    expect(page.locator("#findings li")).to_have_count(14)
    open_film(page)
    assert page.eval_on_selector("#canvas", "canvas => [canvas.width, canvas.height]") == [640, 640]


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
    read = "([x, y]) => [...document.getElementById('canvas').getContext('2d').getImageData(x, y, 1, 1).data]"
    red, _, blue, _ = page.evaluate(read, [160, 480])  # the middle of the lit quarter, below on the left
    assert red > blue + 30
    red, green, blue, _ = page.evaluate(read, [480, 160])  # the opposite quarter stays grey
    assert red == green == blue


def test_findings_are_reached_and_chosen_by_keyboard(open_page: OpenPage, film_path: str) -> None:
    page = open_page(film_path)
    open_film(page)
    page.locator("#findings a").nth(6).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#findings a").nth(6)).to_have_attribute("aria-current", "true")
    page.locator("#opacity").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#opacity-value")).to_have_text("61 %")


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
