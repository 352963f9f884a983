"""The upload page as people meet it: every way in, what is told of each file, and lines that break."""

import io
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Route, expect

from tests.browser.conftest import OpenPage, Shoot
from tests.desk.desk import Desk
from tests.phantom import phantom_png

LETTER = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"This is a letter, not a film."}


def _film(name: str) -> dict[str, Any]:
    return {"name": name, "mimeType": "image/png", "buffer": phantom_png(256)}


def _names(desk: Desk) -> list[str]:
    return [film["name"] for film in desk.films()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films, one of them deeper, and what macOS puts beside them."""
    (tmp_path / "ward" / "bed").mkdir(parents=True)
    (tmp_path / "ward" / "top.png").write_bytes(phantom_png(256))
    (tmp_path / "ward" / "bed" / "deep.png").write_bytes(phantom_png(256, seed=1))
    (tmp_path / "ward" / ".DS_Store").write_bytes(b"x")
    return tmp_path / "ward"


@pytest.fixture
def shaky(browser: Browser, address: str) -> Iterator[Callable[[Callable[[Route], None]], Page]]:
    """Opens the upload page with an uplink that a test decides on. Not by open_page: browsers log broken requests."""
    contexts: list[BrowserContext] = []

    def open_with(uplink: Callable[[Route], None]) -> Page:
        contexts.append(browser.new_context(base_url=address))
        page = contexts[-1].new_page()
        page.clock.install()
        page.goto("/")
        page.route("**/films", lambda route: uplink(route) if route.request.method == "POST" else route.continue_())
        return page

    yield open_with
    for context in contexts:
        context.close()


# --- ways in ---


def test_a_film_is_read_for_the_task_that_was_chosen(
    open_page: OpenPage, phantom: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page()
    page.get_by_role("radio", name="bacterial, viral or none").check()
    page.set_input_files("#film", phantom)
    page.wait_for_url("**/films/*")
    expect(page.locator("#findings-title")).to_have_text("Most probable: Viral")
    expect(page.locator("#findings li")).to_have_count(3)


def test_files_chosen_one_after_another_keep_the_task_of_their_time(
    open_page: OpenPage, phantom: dict[str, Any]
) -> None:
    page = open_page()
    page.set_input_files("#film", [phantom, LETTER])
    page.get_by_role("radio", name="bacterial, viral or none").check()
    page.set_input_files("#film", phantom)
    expect(page.locator("#tally")).to_have_text("2 read, 1 refused")
    outcomes = page.locator(".uploads .done p").all_inner_texts()
    assert "Viral is most probable. See the reading" in outcomes[1]
    assert "Viral" not in outcomes[0]


def test_what_became_of_each_file_stands_beside_it(open_page: OpenPage, phantom: dict[str, Any], shoot: Shoot) -> None:
    page = open_page()
    page.set_input_files("#film", [phantom, LETTER])
    expect(page.locator("#tally")).to_have_text("1 read, 1 refused")
    expect(page.locator("#overall")).to_be_hidden()
    expect(page.locator(".uploads .problem")).to_contain_text("letter.txt")
    expect(page.locator(".uploads .problem p")).to_contain_text("PNG")
    page.wait_for_function("() => document.querySelector('.uploads .done img').naturalWidth === 160")
    shoot(page, "uploaded")
    page.get_by_role("link", name="See the reading").click()
    expect(page.locator("#findings li")).to_have_count(14)


def test_a_folder_is_chosen_with_its_subfolders_and_without_clutter(open_page: OpenPage, folder: Path) -> None:
    page = open_page()
    page.set_input_files("#folder", folder)
    expect(page.locator("#tally")).to_have_text("2 read, 0 refused")
    assert sorted(page.locator(".uploads strong").all_inner_texts()) == ["deep.png", "top.png"]


def test_a_folder_is_dropped_beside_a_file(open_page: OpenPage, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_bytes(b"hello")
    page = open_page()
    drag = {"items": [], "files": [str(folder), str(tmp_path / "letter.txt")], "dragOperationsMask": 1}
    protocol = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):  # in the page's corner: films may be dropped anywhere
        protocol.send("Input.dispatchDragEvent", {"type": kind, "x": 20, "y": 400, "data": drag})
    expect(page.locator("#tally")).to_have_text("2 read, 1 refused")
    assert sorted(page.locator(".uploads strong").all_inner_texts()) == ["deep.png", "letter.txt", "top.png"]
    expect(page.locator("#upload")).not_to_have_class("drop over")


@pytest.fixture
def packed() -> dict[str, Any]:
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        archive.writestr("ward/one.png", phantom_png(256))
        archive.writestr("ward/letter.txt", b"hello")
    return {"name": "films.zip", "mimeType": "application/zip", "buffer": content.getvalue()}


def test_a_zip_file_is_one_whatever_its_name(open_page: OpenPage, packed: dict[str, Any]) -> None:
    page = open_page()
    page.context.add_init_script(
        "document.addEventListener('readystatechange', () => {"
        " const form = document.getElementById('upload'); if (form) form.dataset.largest = 1; })"
    )
    page.reload()
    page.set_input_files("#film", packed | {"name": "films of monday"})
    expect(page.locator("#tally")).to_have_text("1 read, 1 refused")


def test_the_films_of_a_zip_file_get_a_line_each(open_page: OpenPage, packed: dict[str, Any], shoot: Shoot) -> None:
    page = open_page()
    page.set_input_files("#film", packed)
    expect(page.locator("#tally")).to_have_text("1 read, 1 refused")
    assert page.locator(".uploads strong").all_inner_texts() == ["one.png", "letter.txt"]
    shoot(page, "uploaded-zip")


def test_a_picture_is_pasted(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], 'image.png', {type: 'image/png'}));
            dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}));
        }""",
        list(phantom_png(128)),
    )
    page.wait_for_url("**/films/*")
    expect(page.get_by_role("heading", level=1)).to_contain_text("pasted ")


def test_a_phone_offers_its_camera_and_says_what_photographs_are_worth(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    expect(page.get_by_text("refuses most photographs")).to_be_visible()
    expect(page.locator("#camera")).to_have_attribute("capture", "environment")
    assert page.locator(".drop").bounding_box()["y"] < 740  # type: ignore[index]
    expect(open_page().get_by_text("Take a photograph")).to_be_hidden()


def test_upload_reading_and_deleting_work_without_javascript(
    open_page: OpenPage, phantom: dict[str, Any], shoot: Shoot
) -> None:
    page = open_page(java_script_enabled=False)
    page.get_by_role("radio", name="fourteen findings").check()
    shoot(page, "upload-without-script")
    page.set_input_files("#film", [phantom, LETTER])
    page.get_by_role("button", name="Read the films").click()
    expect(page.locator(".refusals")).to_contain_text("letter.txt")
    shoot(page, "list-without-script")
    page.get_by_role("link", name="phantom.png").click()
    expect(page.locator("#findings li")).to_have_count(14)
    page.locator("#findings a").nth(2).click()
    expect(page.locator(".heatmap")).to_be_visible()
    shoot(page, "film-without-script")
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete phantom.png for good").click()
    page.wait_for_url("**/films?*")


def test_a_double_click_without_javascript_stores_one_film(open_page: OpenPage, served_desk: Desk) -> None:
    page = open_page(java_script_enabled=False)
    page.set_input_files("#film", _film("twice.png"))
    page.get_by_role("button", name="Read the films").dblclick()
    page.wait_for_url("**/films/*")
    assert _names(served_desk).count("twice.png") == 1


# --- lines that break ---


def test_an_answer_that_is_lost_on_its_way_is_fetched_and_the_film_stored_once(
    shaky: Callable[..., Page], served_desk: Desk
) -> None:
    keys = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 1:
            return route.continue_()
        route.fetch()  # the desk takes the film in
        return route.abort("connectionreset")

    page = shaky(lose_the_first_answer)
    page.set_input_files("#film", [_film("once.png"), LETTER])
    expect(page.locator(".uploads")).to_contain_text("The connection was lost. Trying again in 1 s (1 of 4).")
    page.clock.run_for(1100)
    expect(page.locator("#tally")).to_have_text("1 read, 1 refused")
    assert _names(served_desk).count("once.png") == 1
    assert len(keys) == 3 and len(set(keys)) == 2


def test_a_desk_that_has_the_film_and_never_answers_is_said_and_the_film_stored_once(
    shaky: Callable[..., Page], served_desk: Desk, monkeypatch: pytest.MonkeyPatch, shoot: Shoot
) -> None:
    take_in, calls, goes_on, done = served_desk.intake.take_in, itertools.count(1), threading.Event(), threading.Event()

    def be_silent_once(content: bytes, name: str, *given: Any, **options: Any) -> str:
        if name != "silent.png" or next(calls) > 1:
            return take_in(content, name, *given, **options)
        goes_on.wait(60)
        film_id = take_in(content, name, *given, **options)
        done.set()
        return film_id

    monkeypatch.setattr(served_desk.intake, "take_in", be_silent_once)
    page = shaky(lambda route: route.continue_())
    page.set_input_files("#film", [_film("silent.png"), LETTER])
    expect(page.locator(".uploads")).to_contain_text("Reading")
    page.clock.run_for(61_000)
    expect(page.locator(".uploads .problem").first).to_contain_text("The desk has the file and does not answer.")
    shoot(page, "upload-silent")
    page.get_by_role("button", name="Try again").click()
    page.clock.run_for(1100)
    expect(page.locator("#tally")).to_have_text("1 read, 1 refused")
    goes_on.set()
    assert done.wait(30)
    assert _names(served_desk).count("silent.png") == 1


def test_a_line_that_stays_dead_is_said_and_tried_again_by_a_button(shaky: Callable[..., Page], shoot: Shoot) -> None:
    dead = [True]
    page = shaky(lambda route: route.abort("internetdisconnected") if dead[0] else route.continue_())
    page.set_input_files("#film", _film("late.png"))
    for count, pause_s in enumerate((1, 3, 8, 20), 1):
        expect(page.locator(".uploads p")).to_have_text(
            f"The connection was lost. Trying again in {pause_s} s ({count} of 4)."
        )
        page.clock.run_for(1000 * pause_s + 100)
    expect(page.locator(".uploads .problem")).to_contain_text("did not come back")
    shoot(page, "upload-lost")
    dead[0] = False
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url("**/films/*")


def test_a_busy_desk_is_waited_for_as_long_as_it_says(shaky: Callable[..., Page]) -> None:
    told = iter([(503, {"Retry-After": "7"}), (429, {})])

    def be_busy(route: Route) -> None:
        status, headers = next(told, (0, {}))
        return route.fulfill(status=status, headers=headers) if status else route.continue_()

    page = shaky(be_busy)
    page.set_input_files("#film", _film("patient.png"))
    expect(page.locator(".uploads p")).to_have_text("The desk is busy. Trying again in 7 s.")
    page.clock.run_for(7100)
    expect(page.locator(".uploads p")).to_have_text("The desk is busy. Trying again in 5 s.")
    page.clock.run_for(5100)
    page.wait_for_url("**/films/*")


def test_leaving_while_a_film_is_sent_warns(shaky: Callable[..., Page]) -> None:
    held: list[Route] = []
    page = shaky(held.append)
    page.set_input_files("#film", _film("held.png"))
    expect(page.locator(".uploads li")).to_have_count(1)
    page.click("h1")  # browsers ask only those who have touched the page
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.evaluate("() => { setTimeout(() => location.assign('/films'), 0) }")
    page.clock.run_for(10)
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    assert page.url.endswith("/")


def test_the_back_button_leads_to_a_clean_page(open_page: OpenPage, phantom: dict[str, Any]) -> None:
    page = open_page()
    page.set_input_files("#film", phantom)
    page.wait_for_url("**/films/*")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Read a chest film")
    assert page.locator("progress:visible").count() == 0
    page.set_input_files("#film", phantom)
    page.wait_for_url("**/films/*")


def test_the_desk_says_why_a_whole_upload_is_refused(shaky: Callable[..., Page]) -> None:
    sentence = {"error": "The form is too old; reload the page.", "status": 400}
    page = shaky(lambda route: route.fulfill(status=400, body=json.dumps(sentence), content_type="application/json"))
    page.set_input_files("#film", _film("old.png"))
    expect(page.locator(".uploads .problem p")).to_have_text("The form is too old; reload the page.")
