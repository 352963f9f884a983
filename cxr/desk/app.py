"""The factory of the desk, and the one handler of all that goes wrong in it."""

from contextlib import suppress
from importlib import import_module
from pathlib import Path

from flask import Flask, Response, g, jsonify, make_response, render_template
from flask.json.provider import DefaultJSONProvider
from flask_wtf.csrf import CSRFError, generate_csrf
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Response as AnyResponse

from cxr import __version__
from cxr.desk import api_parts, api_people, worklist_api, worklist_pages  # noqa: F401  they add routes
from cxr.desk.answers_views import answers
from cxr.desk.api import api
from cxr.desk.audit import AuditLog
from cxr.desk.audit_pages import audit_pages
from cxr.desk.cards import cards
from cxr.desk.door import guard
from cxr.desk.faults import DiskFull, database_fault, is_full
from cxr.desk.film_report_views import reports
from cxr.desk.heatmap_files import HeatmapFolder
from cxr.desk.instance import HEATMAPS, ROOT, make_folder, open_store, resolve
from cxr.desk.intake import Intake
from cxr.desk.looks import looks
from cxr.desk.pages import pages
from cxr.desk.people import People
from cxr.desk.people_pages import ask_to_sign_in, people_pages
from cxr.desk.sessions import Sessions
from cxr.desk.site_settings import SiteSettings
from cxr.desk.site_settings_pages import site_pages
from cxr.desk.statistics_views import statistics
from cxr.desk.trail import keep_trail, record_settings
from cxr.desk.uploads import in_mib
from cxr.desk.viewing import viewing
from cxr.desk.views import interval, moment, percent, task_of, trouble, wants_json
from cxr.desk.views import settings as desk_settings
from cxr.desk.visitors import visitor
from cxr.errors import CxrError, SettingError, SignInNeeded
from cxr.reading.readers import Readers
from cxr.reading.report import DISCLAIMER, title_of
from cxr.settings import MIB, Settings
from cxr.wording import meaning_of

SPARE_PARTS = 20  # form parts beside the films, so that a field too many is named instead of cut off

SENTENCES = {
    400: "The request is malformed and cannot be understood; send it again from the desk's own pages.",
    404: "There is no such page; begin at the upload page or at the list of films.",
    405: "This address does not take that kind of request; begin at the upload page.",
    500: "Something went wrong inside the desk. Nothing was lost; try again, and look at the log if it happens again.",
}


def create_app(
    settings: Settings | None = None,
    *,
    local: bool = False,
    readers: Readers | None = None,
    heatmap_folder: Path = HEATMAPS,
) -> Flask:
    """The desk. `local`: it is opened on this machine alone, by main.py, and trusts whoever reaches it there.

    Raises:
        SettingError: a setting cannot be used, e.g. no secret key for a desk that is not local, or no database.
        ModelFileError: a model file is missing or damaged.
    """
    settings = _resolve(settings or Settings.from_environment(), local)
    app = Flask("cxr", template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_request_bytes,
        MAX_FORM_PARTS=settings.max_request_films + SPARE_PARTS,
        MAX_FORM_MEMORY_SIZE=MIB,
    )
    make_folder(Path(settings.instance_path))
    guard(app, settings, local)
    readers = readers or Readers.find(settings)
    with suppress(ImportError):  # a DICOM film is told which package is missing
        import_module("cxr.films.dicom")  # now: the first DICOM film need not wait for pydicom
    readers.of()  # the default one now: the first film need not wait, and what is wrong with it stops the start
    store = open_store(settings)
    site = SiteSettings(store.engine, settings, readers)
    intake = Intake(store, site, settings, HeatmapFolder(heatmap_folder))
    app.extensions |= {"intake": intake, "settings": settings, **_people(intake.store.engine, settings)}
    _equip(app)
    intake.start()
    return app


def _resolve(settings: Settings, local: bool) -> Settings:
    if settings.heatmap_files and not local:
        raise SettingError("CXR_HEATMAP_FILES is for the desk of `python main.py` alone; unset it for a shared one.")
    return resolve(settings)


def _people(engine: Engine, settings: Settings) -> dict[str, object]:
    """Accounts, sessions and audit log, as `visitors` and `trail` look for them."""
    audit = AuditLog(engine)
    record_settings(audit, settings)
    return {"people": People(engine), "sessions": Sessions(engine, settings), "audit": audit}


def _equip(app: Flask) -> None:
    """Views, the error handler, and what all templates know."""
    own = (pages, viewing, answers, reports, cards, looks, site_pages, statistics, api, people_pages, audit_pages)
    for blueprint in own:
        app.register_blueprint(blueprint)
    keep_trail(app)
    app.register_error_handler(CxrError, answer_error)
    app.register_error_handler(SignInNeeded, ask_to_sign_in)
    app.register_error_handler(DBAPIError, _answer_database_error)
    app.register_error_handler(PoolTimeout, _answer_database_error)
    app.register_error_handler(HTTPException, answer_error)
    app.register_error_handler(OSError, _answer_system_error)
    app.json = _InGivenOrder(app)
    for words in (moment, percent, interval, meaning_of, title_of):
        app.add_template_filter(words)
    app.jinja_env.globals.update(
        disclaimer=DISCLAIMER, version=__version__, task_of=task_of, trouble=trouble, visitor=visitor
    )


class _InGivenOrder(DefaultJSONProvider):
    """JSON whose keys stand in the order in which a reader wants them, not in that of the alphabet."""

    sort_keys = False


def answer_error(error: Exception) -> AnyResponse:
    """Any error as a page or as JSON. What is no CxrError gets a sentence that tells nothing of the inside."""
    status, sentence = _describe(error)
    if status >= 500 and "halfway" in g:
        error = g.halfway
        status, sentence = _describe(error)
    if wants_json():
        # Who may read this answer may also have a page with a new token: the script of an old page goes on with it.
        renewed = {"csrf_token": generate_csrf(), "person": visitor().name} if isinstance(error, CSRFError) else {}
        response: Response = jsonify(error=sentence, status=status, **renewed)
    else:
        response = make_response(render_template("error.html", sentence=sentence, status=status))
    response.status_code = status
    if isinstance(error, CxrError):
        response.headers.update(error.headers)
    elif isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


def _answer_system_error(error: OSError) -> AnyResponse:
    """Large uploads wait in the system's folder for temporary files, which may be full while a request is parsed."""
    if is_full(error):
        return answer_error(DiskFull())
    raise error


def _answer_database_error(error: DBAPIError | PoolTimeout) -> AnyResponse:
    known = database_fault(error)
    if known is None:
        raise error
    return answer_error(known)


def _describe(error: Exception) -> tuple[int, str]:
    if isinstance(error, CxrError):
        return error.status, str(error)
    if isinstance(error, CSRFError):
        return 400, "The form is too old or was not sent from this desk; reload the page and send it again."
    status = (isinstance(error, HTTPException) and error.code) or 500
    if status == 413:
        return status, _upload_limits(desk_settings())
    return status, SENTENCES.get(status, f"The request cannot be answered (HTTP {status}).")


def _upload_limits(settings: Settings) -> str:
    most, size = settings.max_request_films, in_mib(settings.max_request_bytes)
    return f"The upload is too large; send at most {most} films and {size} at once, in several uploads if need be."
