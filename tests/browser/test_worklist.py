"""The worklist in a real browser: by mouse, by keyboard, and without a script."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Shoot
from tests.browser.looks import assert_accessible
from tests.desk.desk import Desk
from tests.desk.drawn_reports import add, report
from tests.phantom import phantom_png

FINDING = "Hernia"  # above in no other film of the session


@pytest.fixture
def films(served_desk: Desk) -> Iterator[list[str]]:
    """Ids of three films, the most urgent first."""
    store = served_desk.intake.store
    made = [
        add(
            store,
            f"{name}.png",
            report(Hernia=p, Mass=p / 2),
            patient="P-K7QD9M2XAB",
            study="S-2FQ8ZT41LM",
            content=phantom_png(256, seed=seed),
        )
        for seed, (name, p) in enumerate((("first", 0.9), ("second", 0.8), ("third", 0.7)))
    ]
    yield made
    for film_id in made:
        served_desk.client.delete(f"/api/v1/films/{film_id}")


def _names(page: Page) -> list[str]:
    return page.locator(".line h2").all_inner_texts()


def test_filters_search_and_order_work_without_a_script(open_page: OpenPage, films: list[str]) -> None:
    page = open_page("/films", java_script_enabled=False)
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Finding above").select_option("Hernia")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(f"**/films?sort=urgency&finding={FINDING}")
    assert _names(page) == ["first.png", "second.png", "third.png"]
    page.get_by_role("searchbox").fill("SEC")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".line")).to_have_count(1)
    assert "SEC" not in page.url and page.get_by_role("searchbox").input_value() == "SEC"
    page.get_by_role("link", name="Newest first").click()
    assert _names(page) == ["second.png"]


def test_films_are_chosen_and_opened_by_keyboard_and_deleted(
    open_page: OpenPage, served_desk: Desk, films: list[str], shoot: Shoot
) -> None:
    page = open_page(f"/films?finding={FINDING}")
    page.locator(".line h2 a").first.focus()
    for key in ("x", "j", "x"):
        page.keyboard.press(key)
    expect(page.locator("#tally")).to_have_text("2 chosen")
    shoot(page, "worklist-chosen")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/films/{films[0]}?list=*")
    page.keyboard.press("n")
    page.wait_for_url(f"**/films/{films[1]}?list=*")
    page.get_by_role("link", name="List").click()
    page.get_by_label("Choose all on this page").check()
    page.locator(".bulk .confirm summary").click()
    shoot(page, "worklist-delete")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("status").first).to_have_text("3 films deleted for good.")
    assert not {film["id"] for film in served_desk.films()} & set(films)


def test_the_chosen_films_are_saved_as_a_table(open_page: OpenPage, films: list[str]) -> None:
    page = open_page(f"/films?finding={FINDING}")
    page.get_by_label("Choose second.png").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="As CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert download.value.suggested_filename == "films.csv"
    assert [line.split(",")[:2] for line in lines[1:]] == [[films[1], "second.png"]]


@pytest.mark.parametrize("width", [320, 768, 1440, 3840])
def test_the_list_fits_every_screen(open_page: OpenPage, films: list[str], shoot: Shoot, width: int) -> None:
    page = open_page(f"/films?sort=patient&finding={FINDING}", viewport={"width": width, "height": 900})
    shoot(page, f"worklist-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_accessible(page, f"films of a patient, {width} px wide")
