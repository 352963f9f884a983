"""Two films side by side."""

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LIT, OpenPage, open_film
from tests.browser.viewing import state


def _views(page: Page) -> Any:
    return state(page, "viewer.readings.map((r) => [r.view.zoom, r.inverted, r.window.width])", "compare")


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
    assert state(page, "viewer.readings.map((reading) => reading.label)", "compare") == ["Mass", LIT]
    assert "left-finding=Mass" in page.url
    page.keyboard.press("Escape")
    page.locator(".pane").first.focus()
    page.keyboard.press("j")
    one, other = state(page, "viewer.readings.map((reading) => reading.label)", "compare")
    assert one == other != "Mass"


def test_two_films_are_shown_without_javascript(open_page: OpenPage, pair_path: str) -> None:
    page = open_page(pair_path, java_script_enabled=False)
    page.locator("select[name=left-finding]").select_option("Mass")
    page.get_by_role("button", name="Show").first.click()
    expect(page.locator(".heatmap").first).to_have_attribute("alt", "Heat map of Mass")
