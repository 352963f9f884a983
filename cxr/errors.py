"""What can go wrong, in one family.

Every message names the thing, the value and the remedy, so that it can be shown as it is: on a page, in the
API and on the command line. `status` is the HTTP status that the desk's one error handler answers with.
"""


class CxrError(Exception):
    """Base of all errors that a user may see."""

    status = 500
    retry_after_s: int | None = None  # when it may go better, where that is known

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers of the answer (RFC 9110, 10.2.3)."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}


class BadRequest(CxrError):
    """The request itself is malformed: a missing field, a field too many."""

    status = 400


class SignInNeeded(CxrError):
    """Nobody is signed in: no session, no token, or one that has ended."""

    status = 401


class Forbidden(CxrError):
    """The request is understood and refused: wrong Host or Origin, a stale form."""

    status = 403


class NotFound(CxrError):
    """There is no such film, label or page."""

    status = 404


class Conflict(CxrError):
    """The thing is not in a state in which this can be done, e.g. the maps of a film that is not read yet."""

    status = 409


class TooLarge(CxrError):
    """The film or the request exceeds a limit of the settings."""

    status = 413


class NotAFilm(CxrError):
    """The bytes are not in a format that can hold a film (PNG, JPEG, DICOM)."""

    status = 415


class UnreadableFilm(CxrError):
    """The format is right, the content is not: truncated, without pixels, of another modality."""

    status = 422


class ModelFileError(CxrError):
    """A model file is missing, damaged, or not of this project."""


class EngineFault(CxrError):
    """The engine gave numbers that are none: NaN or infinity."""


class SettingError(CxrError):
    """A setting has a value that cannot be used."""


class TrainingDataError(CxrError):
    """A table, a list or a folder of training films is not what its layout promises."""


class TrainingError(CxrError):
    """A training run cannot go on: NaN loss, wrong checkpoint, not enough memory."""
