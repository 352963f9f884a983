"""What an upload carries: its films, one part at a time, and no field that nobody asked for."""

import secrets
from dataclasses import dataclass

from flask import Request
from werkzeug.datastructures import FileStorage

from cxr.desk.intake import Intake, clean_name
from cxr.errors import BadRequest, CxrError, TooLarge
from cxr.settings import MIB, Settings

FILM_FIELD, TASK_FIELD, ANYWAY_FIELD = "film", "task", "anyway"
YES_NO = {"1": True, "0": False}


@dataclass(frozen=True)
class Refused:
    """A file of an upload that was not taken in."""

    name: str
    error: CxrError


@dataclass(frozen=True)
class Taken:
    """What became of one upload: ids of the films taken in, and the refusals."""

    upload: str
    films: tuple[str, ...]
    refused: tuple[Refused, ...]


def take_in_all(intake: Intake, request: Request, settings: Settings) -> Taken:
    """Take in each film of the request; a refused one does not keep the others out.

    Raises:
        BadRequest: no film, a field too many, or a task that is not served.
        TooLarge: more films than one upload may hold.
    """
    upload, films, refused = secrets.token_hex(8), [], []
    parts, task = _film_parts(request, {"csrf_token", TASK_FIELD, ANYWAY_FIELD}, settings), _task(request, intake)
    anyway = _anyway(request)
    for part in parts:
        try:
            films.append(intake.take_in(_content(part, settings), part.filename or "", upload, task, anyway=anyway))
        except CxrError as error:
            refused.append(Refused(clean_name(part.filename or ""), error))
    return Taken(upload, tuple(films), tuple(refused))


def take_in_one(intake: Intake, request: Request, settings: Settings) -> str:
    """Take in the one film of the request; its id. Raises of the CxrError family."""
    parts, task = _film_parts(request, {TASK_FIELD, ANYWAY_FIELD}, settings), _task(request, intake)
    if len(parts) > 1:
        raise BadRequest(f"The request holds {len(parts)} films; send one film in each request.")
    content, name = _content(parts[0], settings), parts[0].filename or ""
    return intake.take_in(content, name, secrets.token_hex(8), task, anyway=_anyway(request))


def _film_parts(request: Request, known: set[str], settings: Settings) -> list[FileStorage]:
    stray = sorted((set(request.form) - known) | (set(request.files) - {FILM_FIELD}))
    if stray:
        raise BadRequest(
            f"The upload has a field {clean_name(stray[0])!r}; send films as {FILM_FIELD!r}, perhaps a task as "
            f"{TASK_FIELD!r}, and nothing else."
        )
    # A form sent without choosing a file carries one part with an empty name and no bytes.
    parts = [part for part in request.files.getlist(FILM_FIELD) if part.filename or part.stream.read(1)]
    if not parts:
        raise BadRequest(f"The upload holds no film; choose a PNG, JPEG or DICOM file (field {FILM_FIELD!r}).")
    if len(parts) > settings.max_request_films:
        most = settings.max_request_films
        raise TooLarge(f"The upload holds {len(parts)} films, the most is {most}; send them in several uploads.")
    return parts


def _content(part: FileStorage, settings: Settings) -> bytes:
    """The part's bytes, of which one too many is read at most."""
    part.stream.seek(0)
    content = part.stream.read(settings.max_film_bytes + 1)
    if len(content) > settings.max_film_bytes:
        raise TooLarge(f"The file is larger than {in_mib(settings.max_film_bytes)}; export the film in less space.")
    return content


def _task(request: Request, intake: Intake) -> str:
    """The task that the request names, else the default one. Raises BadRequest for one that is not served, or two."""
    named = request.form.getlist(TASK_FIELD) or [intake.readers.default]
    if len(named) > 1:
        raise BadRequest(f"The request names {len(named)} tasks; send one task with each request.")
    intake.readers.validate(named[0])
    return named[0]


def _anyway(request: Request) -> bool:
    """Whether films that the film check refuses are to be read all the same."""
    named = request.form.get(ANYWAY_FIELD, "0")
    if named not in YES_NO:
        raise BadRequest(f"{ANYWAY_FIELD} is {clean_name(named)!r}; send 1 to have refused films read, or nothing.")
    return YES_NO[named]


def in_mib(count: int) -> str:
    """`67108864` -> `64 MiB`, for sentences."""
    return f"{count / MIB:.3g} MiB"
