"""One visual language: every page, in every theme and size, by mouse, by finger and by keyboard alone."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import LIT, SCREENSHOTS, OpenPage, Shoot, open_film
from tests.browser.looks import THEMES, assert_accessible, wearing
from tests.desk.desk import Desk

LETTERS = [{"name": f"letter {n}.txt", "mimeType": "text/plain", "buffer": b"This is a letter."} for n in (1, 2)]
MOST_BYTES = 250_000  # of a results page, besides the film
PAGES = (
    "upload", "uploaded", "films", "list", "film", "classes", "compare", "unread", "refused", "error", "models", "card",
    "own-card", "by-patient", "settings", "statistics",
)  # fmt: skip

Visit = Callable[..., Page]


@pytest.fixture
def visit(
    browser: Browser, open_page: OpenPage, served_desk: Desk, phantom: dict[str, Any], address: str,
    film_path: str, classes_path: str, unread_path: str,
) -> Visit:  # fmt: skip
    """Opens a page of PAGES, in a theme, and makes it show what it has."""
    paths = {
        "upload": "/", "films": "/films", "models": "/models", "settings": "/settings",
        "by-patient": "/films?sort=patient&state=read", "card": "/models/chestxray14",
        "own-card": "/models/pneumonia3", "statistics": "/statistics", "film": f"{film_path}?finding={LIT}",
        "classes": classes_path,
        "unread": unread_path, "compare": f"/compare?left={film_path[7:]}&right={classes_path[7:]}",
    }  # fmt: skip

    def send(files: list[dict[str, Any]], **options: Any) -> Page:
        """As the form does without a script; what it leads to, with one."""
        page = open_page("/", java_script_enabled=False, **options)
        page.set_input_files("#film", files)
        page.get_by_role("button", name="Read the films").click()
        return page

    def visit(name: str, theme: str, **options: Any) -> Page:
        options |= wearing(theme)
        if name == "list":
            return open_page(send([phantom, LETTERS[0]]).url, **options)
        if name in ("error", "refused"):
            return _failing(browser, address, name, options)
        page = open_page(paths.get(name, "/"), **options)
        if name == "uploaded":
            page.set_input_files("#film", [phantom, LETTERS[0]])
            expect(page.locator("#tally")).to_have_text("1 read, 1 refused")
        if name in ("film", "classes", "compare"):
            open_film(page)
        return page

    return visit


def _failing(browser: Browser, address: str, name: str, options: dict[str, Any]) -> Page:
    """Not by open_page: the browser itself writes answers of 404 and 415 to the console."""
    page = browser.new_context(base_url=address, **options).new_page()
    if name == "error":
        page.goto("/films/0123456789abcdef0123")
        return page
    page.route("**/upload/main.js", lambda route: route.abort())  # the form itself, on a page that axe can look at
    page.goto("/")
    page.set_input_files("#film", LETTERS)
    page.get_by_role("button", name="Read the films").click()
    page.wait_for_url("**/films")
    return page


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_an_accessibility_fault(visit: Visit, shoot: Shoot, name: str, theme: str) -> None:
    page = visit(name, theme)
    assert page.locator("html").get_attribute("data-theme") == theme
    shoot(page, f"{name}-{theme}")
    for summary in page.locator(".more-about summary, .confirm summary >> nth=0").all():
        summary.click()
    assert_accessible(page, f"{name} {theme}")
    page.click(".theme-opener")
    assert_accessible(page, f"{name} {theme}, choosing a theme")
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_narrow_screen_needs_no_sideways_scrolling(visit: Visit, shoot: Shoot, name: str) -> None:
    """360 px is a phone; 320 px is a page at 400 % on a screen of 1280 (WCAG 2.2, 1.4.10 Reflow)."""
    page = visit(name, "light", viewport={"width": 360, "height": 740}, device_scale_factor=2)
    shoot(page, f"{name}-phone")
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.parametrize("name", ["upload", "films", "film", "settings"])
def test_a_large_screen_is_used(visit: Visit, name: str) -> None:
    page = visit(name, "dark", viewport={"width": 3840, "height": 2160})
    page.screenshot(path=SCREENSHOTS / f"{name}-4k.png")
    assert page.locator("main").bounding_box()["width"] > 1200  # type: ignore[index]


def test_the_theme_is_changed_without_leaving_the_page_and_kept(open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page("/films")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Theme").focus()
    page.keyboard.press("Enter")
    shoot(page, "theme")
    with page.expect_response("**/theme"):
        page.get_by_role("button", name="Dim").press("Enter")
    assert _theme(page) == "dim"
    expect(page.locator("#theme")).to_be_hidden()
    page.reload()
    assert _theme(page) == "dim"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(0, 0, 0)"


def test_the_theme_is_chosen_without_javascript(open_page: OpenPage) -> None:
    page = open_page("/films", java_script_enabled=False)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Dark").click()
    page.wait_for_url("**/films")
    assert _theme(page) == "dark"


def test_a_theme_that_cannot_be_kept_is_worn_and_said_not_to_be_kept(open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page("/films")
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('offline')); }")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Dim").click()
    expect(page.locator("#theme").get_by_role("alert")).to_contain_text("not kept for the next one")
    assert _theme(page) == "dim"
    shoot(page, "theme-not-kept")


def _theme(page: Page) -> str | None:
    return page.locator("html").get_attribute("data-theme")


def test_a_film_is_uploaded_and_read_by_keyboard_alone(open_page: OpenPage, phantom: dict[str, Any]) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert _focused(page) == "Skip to the content"
    for _ in range(15):
        if page.evaluate("document.activeElement.id") == "film":
            break
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "film"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(phantom)
    page.wait_for_url("**/films/*")
    page.keyboard.press("Tab")
    assert _focused(page) == "Skip to the content"


def _focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim()"))


@pytest.mark.parametrize("name", ["upload", "films", "film"])
def test_what_has_the_focus_is_seen(visit: Visit, name: str) -> None:
    """WCAG 2.2, 2.4.7 and 2.4.11: each stop of Tab is on the screen, not covered, and outlined."""
    page = visit(name, "light")
    for _ in range(25):
        page.keyboard.press("Tab")
        problem = page.evaluate(SEEN)
        if problem == "end":
            break
        assert problem == "", problem


SEEN = """() => {
    const element = document.activeElement;
    if (element === document.body) return "end";
    const inner = element.closest("label.button") ?? element;
    const around = [element, inner, element.closest(".drop")].filter(Boolean);
    const outlined = around.some((e) => getComputedStyle(e).outlineStyle !== "none");
    const box = inner.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height / 2, 20)];
    const top = document.elementFromPoint(x, y);
    const seen = top && (inner.contains(top) || top.contains(inner) || top.labels || element.labels);
    return seen && outlined ? "" : `${element.outerHTML.slice(0, 120)} at ${x}, ${y}: ${outlined}`;
}"""


def test_nothing_moves_for_those_who_asked_for_it(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    assert page.eval_on_selector(".drop", "e => getComputedStyle(e).transitionDuration") in ("0s", "1e-05s")


def test_forced_colours_keep_what_is_chosen_apart(open_page: OpenPage, shoot: Shoot) -> None:
    page = open_page(forced_colors="active")
    shoot(page, "upload-forced-colours")
    assert page.eval_on_selector("nav [aria-current]", "e => getComputedStyle(e).borderTopStyle") == "solid"


def test_the_results_page_is_light_and_soon_there(open_page: OpenPage, film_path: str) -> None:
    """Bytes as they go over the line. The first paint is written down and not asserted: a busy machine is no fault."""
    page = open_page(film_path)
    open_film(page)
    page.wait_for_load_state("networkidle")
    sizes, paint_ms = page.evaluate(
        """() => {
            const entries = ['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind));
            const sizes = entries.map((entry) => [new URL(entry.name).pathname, entry.transferSize]);
            return [Object.fromEntries(sizes), performance.getEntriesByName('first-contentful-paint')[0].startTime];
        }"""
    )
    besides = {path: size for path, size in sizes.items() if not re.search(r"/(film\.png|pixels)$", path)}
    told = {"first_contentful_paint_ms": paint_ms, "bytes_besides_the_film": sum(besides.values()), "each": besides}
    SCREENSHOTS.mkdir(exist_ok=True)
    (SCREENSHOTS / "results-page.json").write_text(json.dumps(told, indent=2))
    print(told)
    assert sum(besides.values()) < MOST_BYTES, besides
