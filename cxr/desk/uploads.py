"""What an upload carries: its films, those in ZIP files too, one at a time, and no field that nobody asked for."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from flask import Request, g
from werkzeug.datastructures import FileStorage

from cxr.desk.faults import StoredYet
from cxr.desk.forms import CSRF_TOKEN, validate_once
from cxr.desk.intake import Intake, clean_name
from cxr.desk.visitors import visitor
from cxr.desk.zips import Sent, is_zip, members_of
from cxr.errors import BadRequest, CxrError, TooLarge
from cxr.settings import MIB, Settings

FILM_FIELD, TASK_FIELD, ANYWAY_FIELD, KEY_FIELD = "film", "task", "anyway", "upload_key"
KEY_HEADER = "Idempotency-Key"
KEY = re.compile(r"[A-Za-z0-9_-]{16,64}")
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
    unpacked: bool = False  # whether films came in a ZIP file

    @property
    def alone(self) -> bool:
        """One film that came by itself, and not as one of several that might have been."""
        return not self.unpacked and len(self.films) + len(self.refused) == 1


def take_in_all(intake: Intake, request: Request, settings: Settings) -> Taken:
    """Take in each film of the request; a refused one does not keep the others out.

    Raises:
        BadRequest: no film, a field too many, a task that is not served, or a key that cannot be one.
        TooLarge: more films, or more bytes of them once unpacked, than one upload may hold.
        TooBusy: enough uploads wait already.
    """
    parts = _film_parts(request, {CSRF_TOKEN, TASK_FIELD, ANYWAY_FIELD, KEY_FIELD})
    with intake.in_line():
        return _take_in(intake, request, parts, settings)


def take_in_one(intake: Intake, request: Request, settings: Settings) -> Taken:
    """Take in the one film, or the one ZIP file, of a program's request. Raises of the CxrError family.

    A ZIP file of which nothing is taken in raises what was wrong with its first file.
    """
    parts = _film_parts(request, {TASK_FIELD, ANYWAY_FIELD})
    if len(parts) > 1:
        raise BadRequest(f"The request holds {len(parts)} films; send one in each request, or a ZIP file of them.")
    with intake.in_line():
        taken = _take_in(intake, request, parts, settings)
    if not taken.films:
        raise taken.refused[0].error
    return taken


def _take_in(intake: Intake, request: Request, parts: Sequence[FileStorage], settings: Settings) -> Taken:
    task, anyway, key = _task(request, intake), _wants_anyway(request), _Key.of(request)
    sent = [file for part in parts for file in _files(part, settings)]
    _validate_whole([file for file in sent if isinstance(file, Sent)], settings)
    films, refused = [], []
    for place, file in enumerate(sent):
        if isinstance(file, Refused):
            refused.append(file)
            continue
        try:
            content = _content(file, settings)
            own_key = key.of_film(place, content)
            films.append(
                intake.take_in(content, file.name, key.upload, task, anyway=anyway, key=own_key, by=visitor().name)
            )
            g.halfway = StoredYet(len(films))
        except CxrError as error:
            refused.append(Refused(clean_name(file.name), error))
    return Taken(key.upload, tuple(films), tuple(refused), any(is_zip(part.stream) for part in parts))


@dataclass(frozen=True)
class _Key:
    """By what a repeated upload is known: the header of a program, or the field of a form; "" for none."""

    header: str
    field: str
    upload: str  # id of the upload, the same when it is repeated

    @classmethod
    def of(cls, request: Request) -> "_Key":
        """Raises BadRequest."""
        header, field = request.headers.get(KEY_HEADER, "").strip('"'), request.form.get(KEY_FIELD, "")
        if not all(key == "" or KEY.fullmatch(key) for key in (header, field)):
            raise BadRequest(f"The {KEY_HEADER} is not 16 to 64 letters, digits, - or _; send a new UUID with each.")
        given = header or field
        return cls(header, field, sha256(given.encode()).hexdigest()[:16] if given else secrets.token_hex(8))

    def of_film(self, place: int, content: bytes) -> str:
        """A form may be sent anew with other films, where its page was restored, so the content stands in its key."""
        if self.header:
            return f"{self.header}.{place}"
        return f"{self.field}.{place}.{sha256(content).hexdigest()[:16]}" if self.field else ""


def _film_parts(request: Request, known: set[str]) -> list[FileStorage]:
    stray = sorted((set(request.form) - known) | (set(request.files) - {FILM_FIELD}))
    if stray:
        raise BadRequest(
            f"The upload has a field {clean_name(stray[0])!r}; send films as {FILM_FIELD!r}, perhaps a task as "
            f"{TASK_FIELD!r}, and nothing else."
        )
    validate_once()
    # A form sent without choosing a file carries one part with an empty name and no bytes.
    parts = [part for part in request.files.getlist(FILM_FIELD) if part.filename or part.stream.read(1)]
    if not parts:
        raise BadRequest(f"The upload holds no film; choose a PNG, JPEG or DICOM file (field {FILM_FIELD!r}).")
    return parts


def _files(part: FileStorage, settings: Settings) -> list[Sent] | list[Refused]:
    """The part itself, or the files in it if it is a ZIP file."""
    name = part.filename or ""
    if not is_zip(part.stream):
        return [Sent(name, part.stream.seek(0, 2), lambda: _whole(part))]
    try:
        return members_of(part.stream, settings)
    except CxrError as error:
        return [Refused(clean_name(name), error)]


def _whole(part: FileStorage) -> bytes:
    part.stream.seek(0)
    return part.stream.read()


def _validate_whole(sent: Sequence[Sent], settings: Settings) -> None:
    most, size = settings.max_request_films, sum(file.size for file in sent)
    if len(sent) > most:
        raise TooLarge(f"The upload holds {len(sent)} films, the most is {most}; send them in several uploads.")
    if size > settings.max_request_bytes:
        raise TooLarge(
            f"The upload unpacks to {in_mib(size)}, the most is {in_mib(settings.max_request_bytes)}; "
            "send the films in several uploads."
        )


def _content(file: Sent, settings: Settings) -> bytes:
    if file.size > settings.max_film_bytes:
        raise TooLarge(f"The file is larger than {in_mib(settings.max_film_bytes)}; export the film in less space.")
    return file.read()


def _task(request: Request, intake: Intake) -> str:
    """The task that the request names, else the default one. Raises BadRequest for one that is not served."""
    named = request.form.get(TASK_FIELD, intake.readers.default)
    intake.readers.validate(named)
    return named


def _wants_anyway(request: Request) -> bool:
    """Whether films that the film check refuses are to be read all the same."""
    named = request.form.get(ANYWAY_FIELD, "0")
    if named not in YES_NO:
        raise BadRequest(f"{ANYWAY_FIELD} is {clean_name(named)!r}; send 1 to have refused films read, or nothing.")
    return YES_NO[named]


def in_mib(count: int) -> str:
    """`67108864` -> `64 MiB`, for sentences."""
    return f"{count / MIB:.3g} MiB"
