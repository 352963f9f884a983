"""The theme: chosen without a script, worn from the first byte on."""

import re

import pytest

from tests.desk.desk import Desk


def _choose(desk: Desk, theme: str, page: str = "http://localhost/films?upload=x") -> tuple[int, str]:
    form = {"theme": theme, "csrf_token": desk.token()}
    answer = desk.client.post("/theme", data=form, headers={"Referer": page})
    return answer.status_code, answer.location or ""


def _worn(desk: Desk) -> tuple[str, str]:
    found = re.search(
        r'<html lang="en" data-theme="(\w*)">.*?"color-scheme" content="([\w ]*)"', desk.client.get("/").text, re.DOTALL
    )
    assert found
    return found[1], found[2]


def test_pages_wear_what_was_chosen(desk: Desk) -> None:
    assert _worn(desk) == ("system", "light dark")
    for theme, scheme in {"light": "light", "dark": "dark", "dim": "dark", "system": "light dark"}.items():
        assert _choose(desk, theme) == (303, "/films?upload=x")
        assert _worn(desk) == (theme, scheme)


def test_an_unknown_theme_is_refused_and_a_forged_cookie_is_not_believed(desk: Desk) -> None:
    assert _choose(desk, "<pink>")[0] == 400
    desk.client.set_cookie("cxr_theme", '"><script>')
    assert _worn(desk)[0] == "system"


@pytest.mark.parametrize(
    "page",
    ["", "http://localhost//evil.example/", "http://localhost/\\evil.example", "http://localhost/films/1/delete"],
)
def test_one_is_sent_back_to_pages_of_the_desk_alone(desk: Desk, page: str) -> None:
    assert _choose(desk, "dim", page) == (303, "/")
