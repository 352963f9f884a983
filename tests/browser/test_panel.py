"""The findings panel: answers, and a walk through the desk by keyboard alone."""

import csv
import io
from typing import Any

import pypdfium2
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from cxr.reading.report import DISCLAIMER
from tests.browser.conftest import OpenPage, Shoot
from tests.browser.looks import THEMES, assert_accessible, wearing
from tests.desk.desk import Desk
from tests.phantom import phantom_png

SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture
def film(served_desk: Desk) -> dict[str, Any]:
    answer = served_desk.api_upload("answered.png", phantom_png(256)).get_json()
    assert isinstance(answer, dict)
    return answer


def _answers(desk: Desk, film: dict[str, Any]) -> list[tuple[Any, ...]]:
    told = desk.client.get(film["links"]["answers"]).get_json()["history"]
    return [(a["label"], a["verdict"], a["text"], a["by"]) for a in told]


def _choose(page: Page, label: str) -> Any:
    """The answer to a finding that is chosen."""
    page.wait_for_selector("[data-detail=full]")
    page.click(f"#findings a[data-label={label}]")
    return page.locator(f"#findings a[data-label={label}] + form.answer")


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"{selector} is not reached by keyboard")


def test_an_answer_is_saved_at_once_and_stands_in_the_list(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page(film["links"]["page"])
    form = _choose(page, "Effusion")
    form.get_by_role("button", name="Disagree").dblclick()
    expect(form.locator(".state")).to_have_text("Saved")
    form.get_by_label("Your comment on Effusion").fill(SCRIPT)
    expect(form.locator(".state")).to_have_text("Not saved yet")
    page.keyboard.press("Tab")
    expect(form.locator(".state")).to_have_text("Saved")
    expect(page.locator("a[data-label=Effusion] .said")).to_have_text("disagree")
    shoot(page, "answered")
    assert _answers(served_desk, film) == [("Effusion", "disagree", "", ""), ("Effusion", "disagree", SCRIPT, "")]
    page.reload()
    expect(form.get_by_role("button", name="Disagree")).to_have_attribute("aria-pressed", "true")
    expect(form.get_by_label("Your comment on Effusion")).to_have_value(SCRIPT)


def test_letters_answer_the_chosen_finding_but_not_while_one_types(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any]
) -> None:
    page = open_page(film["links"]["page"])
    form = _choose(page, "Mass")
    for letter in "ad":
        page.keyboard.press(letter)
    expect(page.locator("a[data-label=Mass] .said")).to_have_text("disagree")
    form.get_by_label("Your comment on Mass").press_sequentially("and")
    page.keyboard.press("Tab")
    form.get_by_role("button", name="Withdraw").click()
    expect(page.locator("a[data-label=Mass] .said")).to_have_text("")
    verdicts = [(verdict, text) for _, verdict, text, _ in _answers(served_desk, film)]
    assert verdicts == [("agree", ""), ("disagree", ""), ("disagree", "and"), (None, "and")]


def test_every_key_is_told_to_the_help_panel_once(open_page: OpenPage, film: dict[str, Any]) -> None:
    page = open_page(film["links"]["page"])
    keys = page.eval_on_selector_all("[data-key][data-key-help]", "all => all.map(e => e.dataset.key)")
    assert len(keys) == len(set(keys)) and {"a", "d", "u"} <= set(keys)


def test_two_people_see_each_other_and_keep_their_answers(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any], shoot: Shoot
) -> None:
    names = ("Dr A", "Dr B")
    pages = [open_page(film["links"]["page"]) for _ in names]
    for page, name in zip(pages, names, strict=True):
        page.get_by_label("Answering as").fill(name)
        page.get_by_label("Answering as").press("Enter")
        expect(page.get_by_label("Answering as")).to_have_value(name)
    for page, verdict in zip(pages, ("Agree", "Unsure"), strict=True):
        form = _choose(page, "Nodule")
        form.get_by_role("button", name=verdict, exact=True).click()
        expect(form.locator(".state")).to_have_text("Saved")
    assert _answers(served_desk, film) == [("Nodule", "agree", "", "Dr A"), ("Nodule", "unsure", "", "Dr B")]
    pages[0].reload()
    expect(pages[0].locator("a[data-label=Nodule] .said")).to_have_text("agree, 1 more")
    expect(pages[0].locator("a[data-label=Nodule] + form .others")).to_contain_text("Dr B (typed name): unsure")
    shoot(pages[0], "two-people")


def test_a_lost_connection_is_told_and_the_answer_waits(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page(film["links"]["page"])
    page.evaluate("() => { window.reached = fetch; window.fetch = () => Promise.reject(new TypeError('offline')); }")
    form = _choose(page, "Hernia")
    form.get_by_role("button", name="Unsure").click()
    expect(form.locator(".state")).to_contain_text("Not saved. The connection is lost. Your answer stays on this page.")
    expect(page.locator("a[data-label=Hernia] .said")).to_have_text("unsure (not saved)")
    expect(form.get_by_role("button", name="Unsure")).to_have_class("plain waits")
    shoot(page, "answer-lost")
    form.get_by_role("button", name="Try again").click()
    expect(form.locator(".state")).to_contain_text("Not saved")
    page.evaluate("window.fetch = window.reached; window.dispatchEvent(new Event('online'))")
    expect(form.locator(".state")).to_have_text("Saved")
    expect(page.locator("a[data-label=Hernia] .said")).to_have_text("unsure")
    expect(form.get_by_role("button", name="Unsure")).to_have_class("plain")
    assert _answers(served_desk, film) == [("Hernia", "unsure", "", "")]


def test_a_film_deleted_meanwhile_is_told(
    browser: Browser, address: str, served_desk: Desk, film: dict[str, Any]
) -> None:
    # Not by open_page: the browser itself writes an answer of 404 to the console.
    with browser.new_context(base_url=address) as context:
        page = context.new_page()
        page.goto(film["links"]["page"])
        form = _choose(page, "Hernia")
        form.get_by_label("Your comment on Hernia").fill("bowel")
        served_desk.client.delete(film["links"]["self"])
        form.get_by_role("button", name="Agree", exact=True).click()
        expect(form.locator(".state")).to_contain_text("Not saved. There is no such film; it may have been deleted.")
        expect(form.get_by_label("Your comment on Hernia")).to_have_value("bowel")


def test_answers_work_without_javascript(open_page: OpenPage, served_desk: Desk, film: dict[str, Any]) -> None:
    page = open_page(f"{film['links']['page']}?finding=Effusion", java_script_enabled=False)
    page.get_by_label("Your comment on Effusion").fill("a fold")
    page.get_by_role("button", name="Disagree").click()
    expect(page.locator("a[data-label=Effusion] .said")).to_have_text("disagree")
    page.get_by_label("Your comment on the whole film").fill("erect")
    page.get_by_role("button", name="Save the comment").last.click()
    assert _answers(served_desk, film) == [("Effusion", "disagree", "a fold", ""), (None, None, "erect", "")]


def test_from_upload_to_the_pdf_of_the_next_film_by_keyboard_alone(
    open_page: OpenPage,
) -> None:
    for name in ("older.png", "newer.png"):
        page = open_page("/")
        with page.expect_file_chooser() as chooser:  # the one thing that a person does in the system's own dialog
            _tab_to(page, "#film")
            page.keyboard.press("Space")
        chooser.value.set_files({"name": name, "mimeType": "image/png", "buffer": phantom_png(256)})
        page.wait_for_url("**/films/*")
        page.wait_for_selector("[data-detail=full]")
    _tab_to(page, "#findings a")
    page.keyboard.press("Enter")
    expect(page.locator("#findings a").first).to_have_attribute("aria-current", "true")
    page.keyboard.press("a")
    expect(page.locator("#findings .said").first).to_have_text("agree")
    for letter, name in (("n", "older.png"), ("p", "newer.png"), ("n", "older.png")):
        page.keyboard.press(letter)
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        page.wait_for_selector("[data-detail=full]")
    _tab_to(page, "#report-pdf")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "older report.pdf"
    document = pypdfium2.PdfDocument(download.value.path().read_bytes())
    assert len(document) == 1
    document.close()


def test_the_pdf_is_that_of_the_finding_on_the_screen(open_page: OpenPage, film: dict[str, Any]) -> None:
    page = open_page(film["links"]["page"])
    _choose(page, "Hernia")
    with page.expect_download() as download:
        page.click("#report-pdf")
    assert download.value.url.endswith("/report.pdf?finding=Hernia")


def test_the_csv_is_reached_from_the_page(open_page: OpenPage, film: dict[str, Any]) -> None:
    page = open_page(film["links"]["page"])
    page.get_by_text("About the film").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    (row,) = csv.DictReader(io.StringIO(download.value.path().read_text()))
    assert row["film"] == "answered.png"


def test_a_comment_keeps_the_verdict_that_is_on_its_way(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any]
) -> None:
    page = open_page(film["links"]["page"])
    form = _choose(page, "Effusion")
    held: list[Route] = []
    page.route("**/answers", lambda route: held.append(route))
    form.get_by_role("button", name="Agree", exact=True).click()
    form.get_by_label("Your comment on Effusion").fill("blunt")
    page.keyboard.press("Tab")
    for number in (1, 2):
        while len(held) < number:
            page.wait_for_timeout(50)
        held[number - 1].continue_()
    expect(form.locator(".state")).to_have_text("Saved")
    expect(page.locator("a[data-label=Effusion] .said")).to_have_text("agree")
    assert _answers(served_desk, film) == [("Effusion", "agree", "", ""), ("Effusion", "agree", "blunt", "")]


def test_letters_do_nothing_behind_the_help_and_where_they_are_switched_off(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any]
) -> None:
    page = open_page(f"{film['links']['page']}?finding=Mass")
    page.wait_for_selector("[data-detail=full]")
    page.keyboard.press("?")
    expect(page.locator(".help")).to_contain_text("Disagree: answer the chosen finding")
    page.keyboard.press("d")
    page.locator("#shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert _answers(served_desk, film) == []


def test_letters_that_were_switched_off_rest_on_a_film_without_a_viewer_too(
    open_page: OpenPage, unread_path: str, film: dict[str, Any]
) -> None:
    page = open_page(film["links"]["page"])
    page.get_by_role("button", name="?", exact=True).click()
    page.locator("#shortcuts").uncheck()
    page.goto(unread_path)
    key = str(page.locator(".beside a[data-key]").first.get_attribute("data-key"))
    page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.url.endswith(unread_path)
    page.evaluate("localStorage.clear()")
    page.keyboard.press(key)
    page.wait_for_url(lambda url: not url.endswith(unread_path))


@pytest.mark.parametrize("theme", THEMES)
def test_answers_have_no_accessibility_fault(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any], theme: str
) -> None:
    served_desk.client.post(
        film["links"]["answers"], json={"label": "Mass", "verdict": "agree", "text": "x", "by": "A"}
    )
    page = open_page(f"{film['links']['page']}?finding=Mass", **wearing(theme))
    page.wait_for_selector("[data-detail=full]")
    page.keyboard.press("d")
    expect(page.locator("a[data-label=Mass] .said")).to_have_text("disagree, 1 more")
    page.get_by_text("What this model cannot see").click()
    assert_accessible(page, theme)


def test_paper_gets_the_findings_the_model_and_no_buttons(
    open_page: OpenPage, served_desk: Desk, film: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page(f"{film['links']['page']}?finding=Mass", color_scheme="dark")
    page.wait_for_selector("[data-detail=full]")
    page.emulate_media(media="print", color_scheme="dark")
    shoot(page, "print")
    expect(page.locator(".on-paper")).to_contain_text(served_desk.intake.readers.sha256_of("chestxray14"))
    expect(page.locator(".on-paper")).to_contain_text("Operating points by")
    expect(page.get_by_text(DISCLAIMER)).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.locator("#findings li")).to_have_count(14)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
