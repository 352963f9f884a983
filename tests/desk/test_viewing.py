"""Maps as numbers, and two films side by side."""

from base64 import b64decode

import cv2
import numpy as np
import pytest

from cxr.reading.reader import Reader
from tests.desk.desk import Desk, sentence_of
from tests.phantom import draw_phantom, phantom_png


@pytest.fixture
def films(desk: Desk, film_png: bytes) -> tuple[str, str]:
    """Ids of two films that were read."""
    one = desk.api_upload("prior.png", film_png).get_json()["id"]
    return one, desk.api_upload("current.png", phantom_png(256, seed=1)).get_json()["id"]


def test_maps_come_by_label_as_the_report_has_them(desk: Desk, films: tuple[str, str]) -> None:
    told = desk.client.get(f"/films/{films[0]}/maps").get_json()
    report = desk.intake.store.film(films[0]).report
    assert report
    for label, coded in told["maps"].items():
        values = np.frombuffer(b64decode(coded), np.uint8).reshape(told["height"], told["width"])
        assert np.array_equal(values, report.restore().map_of(label))
    assert told["box"] == {"left": 0.0, "top": 0.0, "right": 1.0, "bottom": 1.0}
    assert desk.client.get("/films/none/maps").status_code == 404


def test_two_films_stand_side_by_side_with_name_date_verdict_and_findings(
    desk: Desk, reader: Reader, films: tuple[str, str]
) -> None:
    label = reader.info.labels[2]
    page = desk.client.get(f"/compare?left={films[0]}&right={films[1]}&right-finding={label}").text
    assert page.index("prior.png") < page.index("current.png")
    assert page.count("taken in <time") == 2 and page.count("above") >= 2
    assert f'src="/films/{films[1]}/heatmaps/{label}.png"' in page
    assert page.count("<option value=") == 2 * (len(reader.info.labels) + 1) + 5  # and the five windows


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("", 400, "Two films are compared"),
        ("left={one}", 400, "Two films are compared"),
        ("left={one}&right={one}", 400, "the same film"),
        ("left={one}&right=unknown", 404, "There is no such film"),
        ("left={one}&right={two}&left-finding=Toothache", 404, "no such finding"),
    ],
)
def test_films_that_cannot_be_compared(
    desk: Desk, films: tuple[str, str], query: str, status: int, sentence: str
) -> None:
    answer = desk.client.get("/compare?" + query.format(one=films[0], two=films[1]))
    assert answer.status_code == status
    assert sentence in sentence_of(answer)


def test_a_refused_film_cannot_be_compared(desk: Desk, films: tuple[str, str]) -> None:
    negative = bytes(cv2.imencode(".png", np.uint8(255 * (1 - draw_phantom(256, 256))))[1])
    refused = desk.api_upload("<b>page.png", negative).get_json()
    assert refused["state"] == "refused"
    answer = desk.client.get(f"/compare?left={refused['id']}&right={films[1]}")
    assert answer.status_code == 409
    assert "on the left, &#39;&lt;b&gt;page.png&#39;, is refused" in sentence_of(answer)


def test_a_film_is_offered_the_latest_others_for_comparison(desk: Desk, films: tuple[str, str]) -> None:
    page = desk.client.get(f"/films/{films[1]}").text
    assert f"/compare?left={films[0]}&amp;right={films[1]}" in page
    assert f"left={films[1]}" not in page
