"""What a form or a program may send as settings, and what has changed, in words for the audit log."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cxr.desk.site_settings import CALIBRATION, DAYS, POINTS, TASK, THEME, InForce
from cxr.desk.worklist_urgency import DEFAULT_WEIGHTS, MOST, NOT_READ, ORDINARY, WEIGHTS
from cxr.errors import BadRequest, SettingError
from cxr.modelfile import POINT_SETS
from cxr.reading.readers import Readers
from cxr.reading.site import SHOWN, SiteCalibration

LONGEST_DAYS = 36_500
LARGEST_CALIBRATION = 2 * 2**20  # bytes
THEMES = {"system": "System", "light": "Light", "dark": "Dark", "dim": "Dim"}


def weight_titles(readers: Readers) -> dict[str, str]:
    """What has a weight, and its title: labels that raise an alarm, and films without a reading."""
    return {NOT_READ: "Not read", **readers.alarm_titles}


def validated(sent: Mapping[str, Any], readers: Readers) -> dict[str, Any]:
    """The settings in `sent`, by name, as they are stored; None: back to the environment's. Raises BadRequest."""
    checks: dict[str, Callable[[Any], Any]] = {
        TASK: lambda value: _one_of("The task of uploads (default_task)", value, tuple(readers.tasks)),
        POINTS: lambda value: _one_of("The set of operating points (operating_point)", value, tuple(POINT_SETS)),
        THEME: lambda value: _one_of("The theme", value, tuple(THEMES)),
        DAYS: lambda value: _whole("The number of days that films are kept (keep_days)", value, LONGEST_DAYS),
        WEIGHTS: lambda value: _weights(value, list(weight_titles(readers))),
    }
    if stray := sorted(set(sent) - set(checks)):
        raise BadRequest(f"There is no setting {str(stray[0])[:32]!r} here; send some of {', '.join(checks)}.")
    return {name: None if value is None else checks[name](value) for name, value in sent.items()}


def validated_calibration(text: str, readers: Readers) -> dict[str, str]:
    """A file of `python -m cxr calibrate` as the setting of its task.

    Raises BadRequest when it is none, or was made for another model than that which reads the task here.
    """
    if len(text) > LARGEST_CALIBRATION:
        raise BadRequest(f"The calibration is larger than {LARGEST_CALIBRATION // 2**20} MiB, so it is none.")
    try:
        site = SiteCalibration.restore(text, "The file")
    except SettingError as error:
        raise BadRequest(str(error)) from error
    if site.task not in readers.tasks:
        raise BadRequest(f"The file calibrates the task {site.task[:64]!r}; served are {', '.join(readers.tasks)}.")
    sha256 = readers.sha256_of(site.task)
    if site.sha256 != sha256:
        raise BadRequest(
            f"The file was made for the model {site.model[:64]} (SHA-256 {site.sha256[:SHOWN]}), but {site.task} is "
            f"read here by another one (SHA-256 {sha256[:SHOWN]}); make it again with `python -m cxr calibrate`."
        )
    return {CALIBRATION + site.task: text}


def changes(before: InForce, after: InForce) -> Iterator[str]:
    """`keep_days: 0 -> 30`, for each setting that is another one than before."""
    for name in (TASK, POINTS, DAYS, THEME):
        yield from _change(name, before.value(name), after.value(name))
    for label in sorted({*before.weights, *after.weights}):
        old, new = (held.weights.get(label, ORDINARY) for held in (before, after))
        yield from _change(f"weight of {label}", old, new)
    ours, theirs = before.calibrations, after.calibrations
    for task in sorted({*ours, *theirs}):
        yield from _change(f"calibration of {task}", _in_words(ours.get(task)), _in_words(theirs.get(task)))


def _change(name: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield f"{name}: {old} -> {new}"


def _in_words(site: SiteCalibration | None) -> str:
    if site is None:
        return "none set here"
    return f"{site.sample.date[:10]}, {site.sample.films} films, model {site.sha256[:SHOWN]}"


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise BadRequest(f"{name} is {str(value)[:32]!r}; choose one of {', '.join(known)}.")
    return str(value)


def _whole(name: str, value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadRequest(f"{name} is {str(value)[:32]!r}; write a whole number from 0 to {most}.")
    return value


def _weights(value: Any, known: list[str]) -> dict[str, int]:
    """Those that are not the defaults, so that better defaults of a later version hold."""
    if not isinstance(value, dict):
        raise BadRequest(f"{WEIGHTS} is not an object of labels and numbers.")
    if stray := sorted(set(map(str, value)) - set(known)):
        raise BadRequest(f"There is no finding {stray[0][:32]!r} here to weigh; there are {', '.join(known)}.")
    weights = {label: _whole(f"The weight of {label}", weight, MOST) for label, weight in value.items()}
    return {label: weight for label, weight in weights.items() if weight != DEFAULT_WEIGHTS.get(label, ORDINARY)}
