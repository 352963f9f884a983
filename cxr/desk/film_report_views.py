"""The report of a film to keep or to print: PDF and csv, for people and for programs alike."""

import io
import time
from pathlib import PurePath

from flask import Blueprint, Response, request, send_file

from cxr.desk.answers import latest
from cxr.desk.api import api
from cxr.desk.film_report import FilmReport, film_csv
from cxr.desk.pictures import overlay_print_jpeg, print_jpeg
from cxr.desk.tables import FilmRow
from cxr.desk.views import find_film, intake, report_of
from cxr.films.film import Film

reports = Blueprint("reports", __name__)


@reports.get("/films/<film_id>/report.pdf")
@api.get("/api/v1/films/<film_id>/report.pdf")
def pdf(film_id: str) -> Response:
    """With the heat map of `?finding=`, else of the top finding. Raises NotFound, or Conflict without a report."""
    from cxr.desk.film_report_pdf import film_report_pdf  # its library takes a tenth of a second to load

    told = _told(find_film(film_id))
    return _attached(told.film, "pdf", "application/pdf", film_report_pdf(told))


@reports.get("/films/<film_id>/report.csv")
@api.get("/api/v1/films/<film_id>/report.csv")
def table(film_id: str) -> Response:
    film = find_film(film_id)
    return _attached(film, "csv", "text/csv", film_csv(film, report_of(film)).encode())


def _told(film: FilmRow) -> FilmReport:
    report = report_of(film)
    shown = report.finding(request.args.get("finding") or report.top().label)

    def pictures(pixels: Film) -> tuple[bytes, bytes]:
        return print_jpeg(pixels), overlay_print_jpeg(report, shown.label, pixels)

    said = latest(intake().store.answers.history(film.id))
    return FilmReport(film, report, shown, said, *intake().draw(film, pictures), time.time())


def _attached(film: FilmRow, ending: str, mimetype: str, content: bytes) -> Response:
    name = f"{PurePath(film.name).stem} report.{ending}"
    return send_file(io.BytesIO(content), mimetype, as_attachment=True, download_name=name)
