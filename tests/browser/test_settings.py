"""The settings page in a real browser: what is saved, what is refused, and what is asked first."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from cxr.desk.tables import FilmRow, writing
from cxr.reading.reader import Reader
from tests.browser.conftest import PATIENCE_MS, OpenPage, Shoot
from tests.browser.looks import THEMES, assert_accessible, wearing
from tests.browser.serving import served_at
from tests.desk.desk import Desk, open_desk
from tests.desk.drawn_reports import add, report
from tests.desk.site_calibrations import site_calibration

DAY_S = 86_400
DAYS = "Days after which films are deleted; 0: never"
TOO_MANY = "The number of days that films are kept (keep_days) is '99999'; write a whole number from 0 to 36500."


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.load()


@pytest.fixture
def desk(tmp_path: Path, reader: Reader) -> Iterator[Desk]:
    """One of its own for each test, with a film that is eight days old."""
    with open_desk(tmp_path, reader) as opened:
        film_id = add(opened.intake.store, "old.png", report(Mass=0.9))
        with writing(opened.intake.store.engine) as session:
            aged = sa.update(FilmRow).where(FilmRow.id == film_id)
            session.execute(aged.values(created_at=time.time() - 8 * DAY_S))
        yield opened


@pytest.fixture
def address(desk: Desk) -> Iterator[str]:
    with served_at(desk.app) as found:
        yield found


@pytest.fixture
def refused_page(browser: Browser, address: str) -> Iterator[Page]:
    """Not by open_page: the browser itself writes answers of 400 to the console."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto("/settings")
    yield page
    context.close()


def _save(page: Page, button: str = "Save") -> None:
    page.get_by_role("button", name=button, exact=True).click()


def _expect_saved(page: Page) -> None:
    expect(page.get_by_role("status")).to_have_text("Saved.")


def _expect_problem(page: Page, sentence: str) -> None:
    """Above all forms, and on the screen."""
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(sentence)
    expect(alert).to_be_in_viewport()
    assert page.locator(".problem ~ section form").count() == page.locator("main form").count()


def _settings(desk: Desk) -> Any:
    return desk.client.get("/api/v1/settings").get_json()


def _calibration_file(text: str) -> Any:
    return {"name": "site.json", "mimeType": "application/json", "buffer": text.encode()}


def test_settings_are_saved_and_taken_back(open_page: OpenPage, desk: Desk) -> None:
    page = open_page("/settings")
    page.get_by_label(DAYS).fill("30")
    page.get_by_label("Findings count as above").select_option("sensitivity90")
    _save(page)
    _expect_saved(page)
    expect(page.get_by_label(DAYS)).to_have_value("30")
    assert _settings(desk)["set_here"] == ["operating_point", "keep_days"]
    page.get_by_label(DAYS).fill("")
    page.get_by_label("Findings count as above").select_option("")
    _save(page)
    expect(page.get_by_label(DAYS)).to_have_value("")
    assert _settings(desk)["set_here"] == []


def test_a_refused_form_says_why_above_it_and_keeps_what_was_typed(refused_page: Page, desk: Desk) -> None:
    page = refused_page
    page.get_by_label(DAYS).fill("99999")
    page.get_by_label("Theme for browsers").select_option("dim")
    _save(page)
    _expect_problem(page, TOO_MANY)
    assert _settings(desk)["set_here"] == []
    expect(page.get_by_label(DAYS)).to_have_value("99999")
    expect(page.get_by_label("Theme for browsers")).to_have_value("dim")
    page.get_by_label(DAYS).fill("30")
    _save(page)
    _expect_saved(page)
    assert (_settings(desk)["keep_days"], _settings(desk)["theme"]) == (30, "dim")


def test_weights_are_saved_and_those_beside_a_wrong_one_stay_as_typed(refused_page: Page, desk: Desk) -> None:
    page = refused_page
    mass, hernia = page.get_by_label("Mass"), page.get_by_label("Hernia")
    mass.fill("11")
    hernia.fill("9")
    _save(page, "Save the weights")
    assert mass.evaluate("field => field.validity.rangeOverflow && field === document.activeElement")
    page.locator(".weights").evaluate("weights => { weights.closest('form').noValidate = true; }")
    _save(page, "Save the weights")
    _expect_problem(page, "The weight of Mass is '11'; write a whole number from 0 to 10.")
    expect(mass).to_have_value("11")
    expect(hernia).to_have_value("9")
    mass.fill("0")
    _save(page, "Save the weights")
    _expect_saved(page)
    expect(mass).to_have_value("0")
    weights = _settings(desk)["urgency_weights"]
    assert (weights["Mass"], weights["Hernia"]) == (0, 9)


def test_the_theme_is_that_of_browsers_in_which_nobody_chose_one(open_page: OpenPage) -> None:
    page = open_page("/settings")
    page.get_by_label("Theme for browsers").select_option("dark")
    _save(page)
    _expect_saved(page)
    worn = [each.locator("html").get_attribute("data-theme") for each in (page, open_page("/films"))]
    chosen = open_page("/films", **wearing("light")).locator("html").get_attribute("data-theme")
    assert (worn, chosen) == (["dark", "dark"], "light")


def test_a_calibration_is_used_removed_and_refused_when_it_is_none(refused_page: Page, desk: Desk) -> None:
    page = refused_page
    page.set_input_files("#calibration", _calibration_file(site_calibration(desk.reader).to_json()))
    _save(page, "Use it")
    _expect_saved(page)
    expect(page.locator(".calibration")).to_contain_text("on 120 films of 100 patients, for Mass")
    assert _settings(desk)["calibrations"]["chestxray14"]["films"] == 120
    page.locator(".calibration").get_by_role("button", name="Remove the calibration of").click()
    expect(page.locator(".calibration")).to_have_count(0)
    assert _settings(desk)["calibrations"] == {}
    page.set_input_files("#calibration", _calibration_file(site_calibration(desk.reader, task="covid3").to_json()))
    _save(page, "Use it")
    _expect_problem(page, "The file calibrates the task 'covid3'; served are chestxray14.")


def test_a_shorter_retention_asks_before_it_deletes(open_page: OpenPage, desk: Desk, shoot: Shoot) -> None:
    page = open_page("/settings")
    _ask(page)
    shoot(page, "settings-asks")
    page.get_by_role("link", name="Leave the settings as they are").click()
    expect(page.get_by_label(DAYS)).to_have_value("")
    desk.intake.sweep()
    assert (len(desk.films()), _settings(desk)["set_here"]) == (1, [])
    _ask(page)
    _save(page, "Save and delete 1 film")
    _expect_saved(page)
    assert _settings(desk)["keep_days"] == 7
    desk.intake.sweep()
    assert desk.films() == []


def _ask(page: Page) -> None:
    page.get_by_label(DAYS).fill("7")
    _save(page)
    expect(page.get_by_role("heading", name="Delete 1 film?")).to_be_in_viewport()
    expect(page.get_by_label(DAYS)).to_have_value("7")


@pytest.mark.parametrize("theme", THEMES)
def test_the_page_is_accessible_and_fits_whatever_it_says(
    browser: Browser, address: str, shoot: Shoot, theme: str
) -> None:
    context = browser.new_context(base_url=address, viewport={"width": 320, "height": 740}, **wearing(theme))
    page = context.new_page()  # not by open_page: the browser itself writes answers of 400 to the console
    page.goto("/settings")
    for state, days, told in (("plain", "", "h1"), ("problem", "99999", ".problem"), ("asks", "7", "#confirm-title")):
        if days:
            page.get_by_label(DAYS).fill(days)
            _save(page)
        expect(page.locator(told)).to_be_visible()
        shoot(page, f"settings-{state}-phone-{theme}")
        assert_accessible(page, f"settings, {state}, {theme}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, state
    context.close()
