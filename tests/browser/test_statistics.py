"""The statistics page of a desk that has read hundreds of films."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from cxr.reading.engine import SHIPPED
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.browser.conftest import OpenPage, Shoot
from tests.browser.looks import THEMES, assert_accessible, wearing
from tests.browser.serving import served_at
from tests.desk.desk import open_desk
from tests.desk.many_films import copy_film
from tests.phantom import phantom_png

MONTH_S = 29 * 86_400


@pytest.fixture(scope="module")
def busy_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a desk of 600 films, 90 of them answered."""
    readers = Readers.find(Settings(), [SHIPPED])
    with open_desk(tmp_path_factory.mktemp("busy"), readers) as desk:
        desk.api_upload("a.png", phantom_png(512))
        copy_film(desk.intake.store.engine, 599, 90, desk.reader.info.labels, MONTH_S)
        with served_at(desk.app) as found:
            yield found


@pytest.mark.parametrize("theme", THEMES)
def test_the_statistics_are_drawn_in_every_theme(open_page: OpenPage, shoot: Shoot, busy_desk: str, theme: str) -> None:
    page = open_page(f"{busy_desk}/statistics", **wearing(theme))
    for summary in page.locator("main details summary").all():
        summary.click()
    shoot(page, f"statistics-busy-{theme}")
    assert page.locator("svg[role=img]:not([aria-label])").count() == 0
    assert page.locator("#drift-head ~ .small-multiples svg").count() == 14
    assert_accessible(page, theme)


def test_the_statistics_fit_a_phone(open_page: OpenPage, shoot: Shoot, busy_desk: str) -> None:
    page = open_page(f"{busy_desk}/statistics", viewport={"width": 360, "height": 740}, device_scale_factor=2)
    shoot(page, "statistics-busy-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_time_is_chosen_without_a_script(open_page: OpenPage, busy_desk: str) -> None:
    page = open_page(f"{busy_desk}/statistics", java_script_enabled=False)
    page.get_by_label("Films of").select_option("7")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**days=7")
    expect(page.get_by_label("Films of")).to_have_value("7")
    expect(page.get_by_role("link", name="As CSV")).to_have_attribute("href", re.compile(r"chestxray14.*&days=7$"))
