"""The viewer in all themes and sizes, and how long it takes to draw."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LIT, SCREENSHOTS, OpenPage, Shoot, open_film
from tests.browser.looks import THEMES, assert_accessible, wearing
from tests.browser.viewing import PANE, middle, state
from tests.desk.desk import Desk
from tests.phantom import phantom_png

SIZES = {
    "phone": {"width": 360, "height": 740},
    "tablet": {"width": 820, "height": 1100},
    "wide": {"width": 2560, "height": 1300},
}


def test_forced_colours_keep_the_chosen_finding_and_pressed_buttons_apart(
    open_page: OpenPage, film_path: str, shoot: Shoot
) -> None:
    page = open_page(f"{film_path}?finding={LIT}", forced_colors="active")
    open_film(page)
    page.locator(f"[data-label={LIT}] + form").get_by_role("button", name="Agree", exact=True).click()
    expect(page.locator(f"[data-label={LIT}] .said")).to_have_text("agree")
    shoot(page, "film-forced-colours")
    colours = "all => [...new Set(all.map((e) => getComputedStyle(e)[%s]))]"
    for buttons in (".toolbar button", ".tool-row button", f"[data-label={LIT}] + form .verdicts [aria-pressed]"):
        on, off = (
            page.eval_on_selector_all(f"{buttons}{which}", colours % "'backgroundColor'")
            for which in ("[aria-pressed=true]", ":not([aria-pressed=true])")
        )
        assert len(on) == 1 and on[0] not in off, buttons
    (chosen,) = page.eval_on_selector_all("#findings a[aria-current]", colours % "'borderLeftColor'")
    assert chosen not in page.eval_on_selector_all("#findings a:not([aria-current])", colours % "'borderLeftColor'")


@pytest.mark.parametrize("theme", THEMES)
def test_the_viewer_has_no_accessibility_fault(
    open_page: OpenPage, film_path: str, pair_path: str, shoot: Shoot, theme: str
) -> None:
    for name, path in {"viewer": f"{film_path}?finding={LIT}", "compare": pair_path}.items():
        page = open_page(path, **wearing(theme))
        open_film(page)
        shoot(page, f"{name}-{theme}")
        if name == "viewer":
            page.locator("summary", has_text="Compare with").click()
            page.keyboard.press("s")
            _measure(page)
            shoot(page, f"viewer-measured-{theme}")
        assert_accessible(page, name)
        page.keyboard.press("?")
        shoot(page, f"{name}-help-{theme}")
        assert_accessible(page, f"help of {name}")


def _measure(page: Page) -> None:
    page.keyboard.press("t")
    page.mouse.move(*middle(page, -100, -40))
    page.mouse.down()
    page.mouse.move(*middle(page, 60, 50))
    page.mouse.up()


@pytest.mark.parametrize("size", SIZES)
def test_the_viewer_fits_screens_of_all_sizes(
    open_page: OpenPage, film_path: str, pair_path: str, shoot: Shoot, size: str
) -> None:
    for name, path in {"viewer": f"{film_path}?finding={LIT}", "compare": pair_path}.items():
        page = open_page(path, viewport=SIZES[size])
        open_film(page)
        shoot(page, f"{name}-{size}")
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]


REDRAW = """async ([what, times]) => {
    const { viewer } = await import("/static/viewer/film.js");
    const pane = viewer.active;
    const ms = [];
    for (let k = 0; k < times; k++) {
        const begun = performance.now();
        if (what === "window") pane.reading.set({ window: { centre: 30000 + 100 * k, width: 30000 } });
        else pane.pan(k % 2 ? 7 : -7, 3);
        pane.draw();
        pane.context.getImageData(0, 0, 1, 1); // drawing is over when a pixel can be read
        ms.push(performance.now() - begun);
    }
    return ms.sort((a, b) => a - b)[times >> 1];
}"""


SCREENS = {"1440 x 900": {}, "2560 x 1300, two pixels for each": {"viewport": SIZES["wide"], "device_scale_factor": 2}}


def test_how_long_a_redraw_takes(open_page: OpenPage, served_desk: Desk) -> None:
    """Measured, printed and written beside the screenshots; how fast a machine is decides no test."""
    film = served_desk.api_upload("large.png", phantom_png(2048, bits=16, seed=7)).get_json()
    lines = ["2048 x 2048 film, median of 21 redraws"]
    for screen, options in SCREENS.items():
        page = open_page(film["links"]["page"], **options)
        open_film(page)
        page.click("#film-only")
        size = page.eval_on_selector(f"{PANE} canvas", "canvas => `${canvas.width} x ${canvas.height}`")
        lines += [f"{screen}, canvas {size}, {name}: {ms:.1f} ms" for name, ms in _redraws(page).items()]
    print("\n".join(lines))
    SCREENSHOTS.mkdir(exist_ok=True)
    (SCREENSHOTS / "redraw.txt").write_text("\n".join(lines) + "\n")


def _redraws(page: Page) -> dict[str, float]:
    """Milliseconds by what changes."""
    told = {}
    for zoom in ("fit", "one-to-one"):
        state(page, f"viewer.run('{zoom}')")
        for what in ("window", "pan"):
            told[f"{zoom}, {what}"] = page.evaluate(REDRAW, [what, 21])
    return told
