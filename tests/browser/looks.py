"""Themes, and what every page owes to everybody: WCAG 2.2 as far as axe can see it."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

THEMES = ("light", "dark", "dim")
AXE = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}  # WCAG 2.2's is off by default

COOKIE = {
    "name": "cxr_theme", "domain": "127.0.0.1", "path": "/", "expires": -1, "httpOnly": True, "secure": False,
    "sameSite": "Lax",
}  # fmt: skip


def wearing(theme: str) -> dict[str, Any]:
    """Options of a page on which the theme was chosen before."""
    return {"storage_state": {"cookies": [{**COOKIE, "value": theme}], "origins": []}}


def assert_accessible(page: Page, where: str) -> None:
    faults = Axe().run(page, options=AXE).response["violations"]
    named = [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in faults]
    assert not named, f"{where}: {named}"
