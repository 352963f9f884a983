"""The parts of the running desk, which the factory puts together and the views ask for."""

from typing import TypeVar

from flask import current_app

T = TypeVar("T")


def extension(name: str, kind: type[T]) -> T:
    """What the factory put into `app.extensions` under this name."""
    found = current_app.extensions[name]
    assert isinstance(found, kind)
    return found
