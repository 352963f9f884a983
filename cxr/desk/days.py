"""Days of UTC that an address names, as the moments at which they begin and end."""

from datetime import UTC, date, datetime, timedelta

from cxr.errors import BadRequest


def start_of(name: str, text: str) -> float | None:
    """Seconds since 1970 at which the day `text` begins; None without one. `name`: its parameter. Raises BadRequest."""
    day = _day(name, text)
    return None if day is None else _midnight(day)


def end_of(name: str, text: str) -> float | None:
    """Seconds since 1970 at which the day after `text` begins; None without one. Raises BadRequest."""
    day = _day(name, text)
    return None if day is None else _midnight(day + timedelta(days=1) if day < date.max else day)


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequest(f"{name} is {text[:32]!r}; write a day as 2026-11-21.") from None


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
