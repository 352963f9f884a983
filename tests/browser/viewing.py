"""What tests of the viewer see and touch of it."""

from typing import Any

from playwright.sync_api import Page

PANE = ".pane:not(.beside)"


def canvas(page: Page, selector: str = PANE) -> str:
    """What a pane shows, once it was drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return str(page.eval_on_selector(f"{selector} canvas", "canvas => canvas.toDataURL()"))


def state(page: Page, what: str, module: str = "film") -> Any:
    return page.evaluate(f"import('/static/viewer/{module}.js').then(({{ viewer }}) => {what})")


def corner(page: Page, name: str) -> Any:
    return page.locator(f"{PANE} [data-corner={name}]").first


def middle(page: Page, dx: float, dy: float) -> tuple[float, float]:
    box = page.locator(PANE).first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy
