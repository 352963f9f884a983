"""The pages of the models that are served, and of their cards."""

from flask import Blueprint, render_template, url_for

from cxr.cards.sections import sections, title_of
from cxr.desk.views import intake
from cxr.errors import NotFound
from cxr.reading.report import ModelIdentity

cards = Blueprint("cards", __name__)


@cards.get("/models")
def models() -> str:
    readers = intake().readers
    return render_template("models.html", models={task: readers.described(task) for task in readers.tasks})


@cards.get("/models/<task>")
def model(task: str) -> str:
    readers = intake().readers
    if task not in readers.tasks:
        raise NotFound(f"There is no model of the task {task[:64]!r} here; /models lists those that there are.")
    found = readers.described(task)
    return render_template("model.html", task=task, model=found, title=title_of(found), sections=sections(found))


@cards.app_template_global()
def card_of(read_by: ModelIdentity) -> str:
    """Address of the card of the model that read a film; empty where another file serves that task now."""
    readers = intake().readers
    same = read_by.task in readers.tasks and readers.sha256_of(read_by.task) == read_by.sha256
    return url_for("cards.model", task=read_by.task) if same else ""
