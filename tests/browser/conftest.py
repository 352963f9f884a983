"""A desk that runs, and a browser that looks at it."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cxr.cards.card import card_file
from cxr.desk.pictures import thumbnail_jpeg
from cxr.desk.store import NewFilm
from cxr.films.read import read_film
from cxr.reading.engine import SHIPPED
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.browser.serving import served_at
from tests.cards.measured import card_for
from tests.desk.desk import Desk, open_desk
from tests.phantom import draw_phantom, phantom_dicom, phantom_png
from tests.reading.tiny import tiny_model

BROWSERS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
REPORT_CSP = "addEventListener('securitypolicyviolation', e => console.error(`CSP ${e.violatedDirective}`))"

PATIENCE_MS = 20_000  # other tests take the processor meanwhile
expect.set_options(timeout=PATIENCE_MS)

OpenPage = Callable[..., Page]
Shoot = Callable[[Page, str], None]
LIT = "Effusion"  # the finding whose map is lit in `film_path`


@pytest.fixture(scope="session")
def served_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two models: the shipped one, whose task is the default, and one for children that finds each film viral."""
    folder = tmp_path_factory.mktemp("desk")
    children = tiny_model(folder / "children.onnx", "pneumonia3", [0.0, 2.0, 1.0], [0.0, 2.0, 0.0])
    readers = Readers.find(Settings(), [SHIPPED, children])
    card_file(children).write_text(card_for(readers.sha256_of("pneumonia3")).to_json())
    with open_desk(folder, readers, heatmap_files=True, housekeeping=True) as desk:
        yield desk


@pytest.fixture(scope="session")
def address(served_desk: Desk) -> Iterator[str]:
    with served_at(served_desk.app) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser among {', '.join(BROWSERS)}; install Debian's chromium to run this test")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens pages of the desk; a console error, a script error or a CSP violation in any of them fails the test."""
    contexts, complaints = [], []

    def open_page(path: str = "/", **options: Any) -> Page:
        context = browser.new_context(base_url=address, **{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        context.add_init_script(REPORT_CSP)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def shoot() -> Shoot:
    """Keeps a picture of the whole page, to be looked at by people."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def shoot(page: Page, name: str) -> None:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return shoot


@pytest.fixture(scope="session")
def phantom() -> dict[str, Any]:
    return {"name": "phantom.png", "mimeType": "image/png", "buffer": phantom_png(640)}


@pytest.fixture(scope="session")
def classes_path(served_desk: Desk, phantom: dict[str, Any]) -> str:
    """Page of a film that was read by a multiclass model."""
    film = served_desk.api_upload("child.png", phantom["buffer"], task="pneumonia3").get_json()
    return str(film["links"]["page"])


@pytest.fixture(scope="session")
def film_path(served_desk: Desk, phantom: dict[str, Any]) -> str:
    """Page of a film that was read, whose map of LIT is then lit below on the left, whatever the model's weights."""
    film = read_film(phantom["buffer"])
    report = served_desk.reader.read(film)
    maps = np.zeros_like(report.maps)
    _, height, width = maps.shape
    rows, columns = np.mgrid[0.5:height, 0.5:width]
    distance = np.hypot(rows / height - 0.75, columns / width - 0.25)
    maps[[f.label for f in report.findings].index(LIT)] = 230 * np.exp(-((distance / 0.18) ** 2))
    new = NewFilm("phantom 0001.png", "PNG", report.model.task, "upload", thumbnail_jpeg(film), gradcam=False)
    store = served_desk.intake.store
    claim = store.add(phantom["buffer"], new, lease_s=60)
    assert store.begin(claim, lease_s=60) and store.finish(claim, dataclasses.replace(report, maps=maps))
    return f"/films/{claim.film_id}"


@pytest.fixture(scope="session")
def unread_path(served_desk: Desk) -> str:
    """Page of a film that the check refuses: a negative."""
    negative = cv2.imencode(".png", np.round((1 - draw_phantom(512, 512)) * 255).astype(np.uint8))[1].tobytes()
    film = served_desk.api_upload("negative.png", negative).get_json()
    assert film["state"] == "refused"
    return str(film["links"]["page"])


@pytest.fixture(scope="session")
def dicom_path(served_desk: Desk) -> str:
    """Page of a DICOM film, 400 x 300 pixels, its spacing known at the detector."""
    film = phantom_dicom(400, 300, ImagerPixelSpacing=[0.2, 0.2])
    return str(served_desk.api_upload("phantom 0002.dcm", film).get_json()["links"]["page"])


@pytest.fixture(scope="session")
def pair_path(film_path: str, dicom_path: str) -> str:
    left, right = dicom_path.rpartition("/")[2], film_path.rpartition("/")[2]
    return f"/compare?left={left}&right={right}&right-finding={LIT}"


def open_film(page: Page) -> None:
    """Waits until all pixels of the page's films are there and drawn."""
    page.wait_for_function("() => [...document.querySelectorAll('.stage')].every(s => s.dataset.detail === 'full')")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
