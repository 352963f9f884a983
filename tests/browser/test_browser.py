"""The desk as people meet it, in a real browser."""

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, open_film
from tests.desk.desk import Desk


def test_a_film_is_uploaded_and_its_fourteen_findings_are_shown(open_page: OpenPage, phantom: dict[str, Any]) -> None:
    page = open_page()
    page.set_input_files("#film", phantom)
    page.wait_for_url("**/films/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("phantom.png")
    expect(page.locator("#findings li")).to_have_count(14)
    open_film(page)


def test_a_film_is_deleted_only_after_a_second_click(
    open_page: OpenPage, served_desk: Desk, phantom: dict[str, Any]
) -> None:
    film = served_desk.api_upload("to be deleted.png", phantom["buffer"]).get_json()
    page = open_page("/films")
    page.get_by_label("Choose to be deleted.png").check()
    page.locator(".bulk .confirm summary").click()
    expect(page.get_by_role("link", name="to be deleted.png")).to_be_visible()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("link", name="to be deleted.png")).to_have_count(0)
    assert served_desk.client.get(film["links"]["page"]).status_code == 404
