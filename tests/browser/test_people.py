"""Signing in, accounts and the log, in a real browser."""

import re
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from cxr.desk.audit import Entry
from cxr.desk.people_tables import Role, SignIn
from cxr.desk.tables import writing
from cxr.reading.reader import Reader
from tests.browser.looks import THEMES, assert_accessible, wearing
from tests.browser.serving import served_at
from tests.desk.department import CLINICIAN, PASSWORD, Department, open_department
from tests.phantom import phantom_png

SIZES = {"desk": (1440, 900), "phone": (360, 780)}


@pytest.fixture(scope="module")
def department(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Department]:
    with open_department(tmp_path_factory.mktemp("department"), Reader.load(), session_idle_s=3600) as opened:
        opened.people.disable(opened.people.add("carl.of-radiology@example", PASSWORD, "clinician").name)
        for n in range(6):
            opened.log.record(Entry(CLINICIAN, "see", f"{n:020x}"))
        yield opened


@pytest.fixture(scope="module")
def address(department: Department) -> Iterator[str]:
    with served_at(department.app) as found:
        yield found


def _sign_in(page: Page, name: str = "anna", password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    with page.expect_event("load"):  # what stands on the next page works when its scripts are there
        page.get_by_role("button", name="Sign in").click()


def test_somebody_signs_in_is_led_back_and_signs_out(open_page: Callable[..., Page]) -> None:
    page = open_page("/films")
    _sign_in(page)
    expect(page).to_have_url(re.compile("/films$"))
    page.get_by_role("link", name="anna").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    page.goto("/films")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_form_is_filled_by_keyboard_alone(open_page: Callable[..., Page]) -> None:
    page = open_page("/sign-in")
    page.keyboard.type("anna")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/$"))


def test_an_admin_adds_a_person_and_finds_that_in_the_log(open_page: Callable[..., Page]) -> None:
    page = open_page("/people")
    _sign_in(page)
    page.get_by_label("Name").fill("Dora")
    page.get_by_label("Password, 12 characters or more").last.fill(PASSWORD)
    page.get_by_label("The same again").last.fill(PASSWORD)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", name="dora")).to_be_visible()
    page.get_by_label("Pages").get_by_role("link", name="Log").click()
    page.get_by_label("Action").select_option("add person")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_a_token_is_made_and_revoked(open_page: Callable[..., Page]) -> None:
    page = open_page("/account")
    _sign_in(page)
    page.get_by_label("What it is for").fill("archive of 2026")
    page.get_by_label("What it may change").select_option("films and settings, people and tokens")
    page.get_by_role("button", name="Make a token").click()
    expect(page.locator(".secret")).to_have_text(re.compile("^cxr_"))
    page.get_by_role("button", name="Revoke archive of 2026").click()
    expect(page.get_by_text("archive of 2026")).to_have_count(0)


def test_a_session_that_ends_in_the_middle_of_an_upload_costs_nothing(
    browser: Browser, address: str, department: Department, shoot: Callable[[Page, str], None]
) -> None:
    context = browser.new_context(base_url=address)  # not by open_page: browsers log requests that are refused
    page = context.new_page()
    page.goto("/")
    _sign_in(page)
    expect(page.get_by_role("heading", name="Read a chest film")).to_be_visible()
    _end_sessions(department)
    page.set_input_files("#film", {"name": "a.png", "mimeType": "image/png", "buffer": phantom_png(256)})
    expect(page.locator(".uploads .problem")).to_contain_text("The session has ended; nothing is lost.")
    shoot(page, "people-upload-ended")
    with context.expect_page() as opened:
        page.get_by_role("link", name="Sign in").click()
    _sign_in(opened.value)
    expect(opened.value.get_by_role("heading", name="Read a chest film")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url("**/films/*")
    context.close()


def test_a_session_that_ends_while_a_film_is_looked_at_costs_nothing(
    browser: Browser, address: str, department: Department, shoot: Callable[[Page, str], None]
) -> None:
    film_id = department.intake.take_in(phantom_png(256), "a.png", "upload")
    context = browser.new_context(base_url=address)  # not by open_page: browsers log requests that are refused
    page = context.new_page()
    page.goto(f"/films/{film_id}?finding=Mass")
    page.route("**/pixels", lambda route: route.abort())
    _sign_in(page)
    expect(page.locator(".stage-notice")).to_contain_text("could not be loaded in full detail")
    page.unroute("**/pixels")
    _end_sessions(department)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".stage-notice")).to_contain_text("The session has ended; nothing is lost. Sign in")
    form = page.locator("[data-label=Mass] + form")
    form.get_by_label("Your comment on Mass").fill("a nipple")
    form.get_by_role("button", name="Disagree").click()
    expect(form.locator(".state")).to_contain_text("Not saved. The session has ended; nothing is lost. Sign in")
    expect(form.get_by_role("link", name="Sign in")).to_have_css("display", "inline")
    shoot(page, "people-film-ended")
    with context.expect_page() as opened:
        form.get_by_role("link", name="Sign in").click()
    _sign_in(opened.value)
    expect(opened.value.get_by_role("heading", name="a.png")).to_be_visible()
    form.get_by_role("button", name="Try again").click()
    expect(form.locator(".state")).to_have_text("Saved")
    page.locator(".stage-notice").get_by_role("button", name="Try again").click()
    page.wait_for_selector("[data-detail=full]")
    said = department.intake.store.answers.history(film_id)
    assert [(a.verdict, a.text, a.signature) for a in said] == [("disagree", "a nipple", "anna")]
    context.close()


def test_a_page_from_before_somebody_signed_in_anew_goes_on_at_a_click(
    browser: Browser, address: str, department: Department
) -> None:
    film_id = department.intake.take_in(phantom_png(256), "a.png", "upload")
    context = browser.new_context(base_url=address)  # not by open_page: browsers log requests that are refused
    film, upload, other = context.new_page(), context.new_page(), context.new_page()
    film.goto(f"/films/{film_id}?finding=Mass")
    _sign_in(film)
    expect(film.get_by_role("heading", name="a.png")).to_be_visible()
    upload.goto("/")
    other.goto("/account")
    other.get_by_role("button", name="Sign out").click()
    _sign_in(other)
    expect(other.get_by_role("heading", name="Read a chest film")).to_be_visible()
    names = ["b.png", "c.png", "d.png", "e.png"]
    upload.set_input_files(
        "#film", [{"name": name, "mimeType": "image/png", "buffer": phantom_png(256)} for name in names]
    )
    waits = upload.locator(".uploads .problem")
    expect(waits).to_have_count(2)  # those that were on their way; the others wait for somebody to look
    expect(waits.first).to_contain_text("This page is from an earlier session. What it sends now is sent as anna.")
    for _ in range(2):
        waits.first.get_by_role("button", name="Try again").click()
    expect(upload.locator("#tally")).to_have_text("4 read, 0 refused")
    form = film.locator("[data-label=Mass] + form")
    form.get_by_role("button", name="Disagree").click()
    expect(form.locator(".state")).to_contain_text("Not saved. This page is from an earlier session.")
    form.get_by_role("button", name="Try again").click()
    expect(form.locator(".state")).to_have_text("Saved")
    assert [answer.verdict for answer in department.intake.store.answers.history(film_id)] == ["disagree"]
    context.close()


def _end_sessions(department: Department) -> None:
    with writing(department.intake.store.engine) as session:
        session.execute(sa.delete(SignIn))


def test_an_admins_pages_fit_at_every_width(open_page: Callable[..., Page], department: Department) -> None:
    """Admins have the most pages to choose from, and their names may be long."""
    name = "w" * 64
    department.people.add(name, PASSWORD, Role.ADMIN)
    page = open_page("/account")
    _sign_in(page, name)
    expect(page.get_by_label("What it is for")).to_be_visible()
    for width in range(320, 1320, 100):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_the_pages_are_accessible_and_fit(
    open_page: Callable[..., Page], shoot: Callable[[Page, str], None], theme: str, size: str
) -> None:
    width, height = SIZES[size]
    page = open_page("/account", viewport={"width": width, "height": height}, **wearing(theme))
    assert_accessible(page, "sign in")
    shoot(page, f"people-sign-in-{size}-{theme}")
    _sign_in(page)
    page.get_by_label("What it is for").fill("archive")
    page.get_by_role("button", name="Make a token").click()
    for name, path in (("account", ""), ("people", "/people"), ("audit", "/audit")):
        if path:
            page.goto(path)
        if name == "people":
            page.get_by_label("Change bert").click()
        assert_accessible(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        shoot(page, f"people-{name}-{size}-{theme}")
