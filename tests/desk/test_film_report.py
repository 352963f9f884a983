"""The report of a film: one page to print, one row of csv."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from cxr.cli import main
from cxr.desk.answers import Answer
from cxr.desk.film_report import FilmReport
from cxr.desk.film_report_pdf import film_report_pdf
from cxr.desk.pictures import overlay_print_jpeg, print_jpeg
from cxr.desk.tables import FilmRow
from cxr.films.read import read_film
from cxr.films.reasons import WARN, Reason
from cxr.reading.reader import Reader
from cxr.reading.report import DISCLAIMER
from tests.desk.desk import Desk
from tests.desk.test_refused import NEGATIVE

LONG = "The left costophrenic angle is blunt, with a meniscus; see the film of last week. " * 12


@pytest.fixture(scope="module")
def told(reader: Reader, film_png: bytes) -> FilmReport:
    film = read_film(film_png)
    report = reader.read(film)
    pictures = print_jpeg(film), overlay_print_jpeg(report, "Mass", film)
    row = FilmRow(id="0" * 20, sha256="ab" * 32, name="chest.png", task="chestxray14", created_at=0.0, read_at=1.0)
    return FilmReport(row, report, report.finding("Mass"), [], *pictures, written_at=1.8e9)


@pytest.fixture
def film(desk: Desk, film_png: bytes) -> dict[str, Any]:
    answer = desk.api_upload("снимок грудной клетки.png", film_png).get_json()
    assert isinstance(answer, dict)
    return answer


def _named(told: FilmReport, name: str) -> FilmReport:
    film = FilmRow(id="0" * 20, sha256="ab" * 32, name=name, task="chestxray14", created_at=0.0, read_at=1.0)
    return dataclasses.replace(told, film=film)


def _pages(pdf: bytes) -> Iterator[str]:
    document = pypdfium2.PdfDocument(pdf)
    for page in document:
        text = page.get_textpage()
        yield " ".join(text.get_text_bounded().split())
        text.close()
        page.close()
    document.close()


def _page(told: FilmReport) -> str:
    (page,) = _pages(film_report_pdf(told))
    return page


def test_the_page_says_what_was_read_by_what_and_that_no_decision_may_rest_on_it(told: FilmReport) -> None:
    page = _page(told)
    assert DISCLAIMER in page and told.report.model.sha256 in page and told.report.headline() in page
    assert "chest.png" in page and "2027-01-15 08:00 UTC" in page and "Heat map: Mass" in page
    for finding in told.report.findings:
        assert finding.title in page
    assert "No clinician’s comment" in page


def test_it_is_one_page_however_much_is_said(told: FilmReport) -> None:
    answers = [Answer(f.label, "disagree", LONG, "Dr A " * 16, 0.0) for f in told.report.findings]
    reasons = tuple(Reason(f"r{n}", WARN, LONG) for n in range(6))
    report = dataclasses.replace(told.report, check=dataclasses.replace(told.report.check, reasons=reasons))
    full = dataclasses.replace(_named(told, "name" * 50), report=report, answers=[*answers, Answer("", "", LONG)])
    page = _page(full)
    assert "more in the JSON: /api/v1/films/00000000000000000000/answers" in page
    assert DISCLAIMER in page and "…" in page


def test_short_answers_are_all_there(told: FilmReport) -> None:
    answers = [Answer("Mass", "unsure", "a nipple?", "Dr A", 0.0), Answer("", "", "erect", "", 0.0)]
    page = _page(dataclasses.replace(told, answers=answers))
    head = "Mass · unsure · Dr A (typed name) · 1970-01-01 00:00 UTC"
    assert f"The film · 1970-01-01 00:00 UTC erect {head} a nipple?" in page
    assert "more in the JSON" not in page


def test_verdicts_are_counted_beside_the_finding_and_names_stand_below(told: FilmReport) -> None:
    given = (("agree", "René", 1), ("disagree", "Dr B", None), ("agree", "Dr C", 3), ("agree", "", None))
    answers = [Answer("Mass", verdict, "", by, person_id=person) for verdict, by, person in given]
    page = _page(dataclasses.replace(told, answers=answers))
    assert "3 agree, 1 disagree" in page
    assert "Mass · agree: René, Dr C, without a name · disagree: Dr B (typed name)" in page


def test_accents_that_come_apart_from_their_letters_are_set_upon_them(told: FilmReport) -> None:
    assert "Röntgen Žižek" in _page(_named(told, "Ro\u0308ntgen Z\u030ciz\u030cek"))


@pytest.mark.parametrize("name", ["Снимок Ивановой", "Ακτινογραφία θώρακος", "Čapek, Žižek", "Nguyễn"])
def test_names_are_set_in_their_own_letters(told: FilmReport, name: str) -> None:
    assert name in _page(_named(told, name))


def test_letters_that_cannot_be_set_are_boxes_never_other_letters(told: FilmReport) -> None:
    assert "▯▯ 7.png" in _page(_named(told, "胸部 7.png"))


def test_equal_reports_are_equal_bytes_and_tell_title_and_language(told: FilmReport) -> None:
    pdf = film_report_pdf(told)
    assert film_report_pdf(told) == pdf
    assert film_report_pdf(dataclasses.replace(told, written_at=1.9e9)) != pdf
    document = pypdfium2.PdfDocument(pdf)
    known = document.get_metadata_dict()
    document.close()
    assert known["Title"] == "Report of the chest film chest.png"
    assert known["CreationDate"] == "D:20270115080000+00'00'"
    assert b"/Lang (en)" in pdf


@pytest.mark.parametrize("base", ["/films", "/api/v1/films"])
def test_pdf_and_csv_are_attached_under_the_films_name(desk: Desk, film: dict[str, Any], base: str) -> None:
    for ending, kind in (("pdf", "application/pdf"), ("csv", "text/csv; charset=utf-8")):
        answer = desk.client.get(f"{base}/{film['id']}/report.{ending}")
        assert (answer.status_code, answer.content_type) == (200, kind)
        assert "filename*=UTF-8''%D1%81%D0%BD" in answer.headers["Content-Disposition"]
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_pdf_shows_the_heat_map_that_was_asked_for(desk: Desk, film: dict[str, Any]) -> None:
    (page,) = _pages(desk.client.get(f"{film['links']['pdf']}?finding=Hernia").data)
    assert "Heat map: Hernia" in page
    assert desk.client.get(f"{film['links']['pdf']}?finding=Broken_Heart").status_code == 404


def test_the_csv_is_the_row_that_the_command_line_writes(
    desk: Desk, film_png: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chest.png").write_bytes(film_png)
    assert main(["predict", "chest.png", "--csv", "out.csv"]) == 0
    film = desk.api_upload("chest.png", film_png).get_json()
    assert desk.client.get(film["links"]["csv"]).data == Path("out.csv").read_bytes()


def test_a_spreadsheet_does_not_run_a_films_name(desk: Desk, film_png: bytes) -> None:
    film = desk.api_upload("=1+1.png", film_png).get_json()
    (row,) = csv.DictReader(io.StringIO(desk.client.get(film["links"]["csv"]).text))
    assert row["film"] == "'=1+1.png"


def test_there_is_no_report_of_a_film_that_was_not_read(desk: Desk) -> None:
    refused = desk.api_upload("noise.png", NEGATIVE).get_json()
    assert refused["state"] == "refused"
    for ending in ("pdf", "csv"):
        assert desk.client.get(f"/films/{refused['id']}/report.{ending}").status_code == 409
        assert desk.client.get(f"/films/{'0' * 20}/report.{ending}").status_code == 404
