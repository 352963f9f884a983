"""List the models that are served, or print the card of one."""

import argparse

from cxr.cards.card import Described
from cxr.cards.formats import to_markdown, to_text
from cxr.cards.sections import sections, title_of
from cxr.reading.readers import Readers
from cxr.settings import Settings
from cxr.tasks import TASKS


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", nargs="?", choices=TASKS, metavar="TASK", help="print the card of this task's model")
    parser.add_argument("--markdown", action="store_true", help="the card as a Markdown document")


def run(options: argparse.Namespace) -> int:
    """0; the models of CXR_MODEL and the shipped ones."""
    readers = Readers.find(Settings.from_environment())
    if options.task:
        model = readers.described(options.task)
        print((to_markdown if options.markdown else to_text)(title_of(model), sections(model)).rstrip())
        return 0
    for task in readers.tasks:
        print(_line(task, readers.described(task)))
    return 0


def _line(task: str, model: Described) -> str:
    read_by = "" if model.info.task == task else f", read from a model of {model.info.task}"
    figures = [f"mean AUROC {each.mean_auroc} on the {each.name} part" for each in model.results]
    about = "; ".join(figures) or model.trouble
    return (
        f"{task}{read_by}: {model.info.title}, {model.info.audience}\n  {model.info.name} {model.sha256[:12]}. {about}"
    )
