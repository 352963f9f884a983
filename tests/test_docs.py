"""The documents name all that there is."""

import argparse
import re
import shlex
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchmarks.__main__ import parser as benchmarks_parser
from benchmarks.growth import parser as growth_parser
from cxr import cli
from cxr.cli import COMMANDS
from cxr.learning import check_command, remote_command, testing_command, training_command
from cxr.learning.losses import LOSSES
from cxr.learning.models import HEADS, POOLINGS
from cxr.learning.trunks import ARCHITECTURES
from cxr.modelfile import MAPS
from cxr.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS = "\n".join(file.read_text() for file in FILES)


@pytest.mark.parametrize("name", [*TASKS, *ARCHITECTURES, *POOLINGS, *HEADS, *LOSSES, *MAPS])
def test_every_part_that_a_flag_names_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCUMENTS or f"--pooling {name}" in DOCUMENTS or f"--head {name}" in DOCUMENTS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"python -m cxr {command} " in DOCUMENTS


@pytest.mark.parametrize("file", ["CONTRIBUTING.md", *(str(file.relative_to(ROOT)) for file in FILES)])
def test_links_between_documents_lead_somewhere(file: str) -> None:
    text = (ROOT / file).read_text()
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not ((ROOT / file).parent / target).exists()] == []


class Choices:
    """What a flag offers, or a word that stands for it in a document: `T`."""

    def __init__(self, offered: Container[str]):
        self.offered = offered

    def __contains__(self, word: str) -> bool:
        return not word or word in self.offered or word.isupper()  # no word: another argument took all there were

    def __iter__(self) -> Iterator[str]:
        return iter(())


class Refused(Exception):
    """A parser does not take a command line."""


def _lenient(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Takes placeholders for values, and a line of which only a part is shown."""

    def refuse(message: str) -> NoReturn:
        raise Refused(message)

    parser.error = refuse  # type: ignore[method-assign]
    parser.allow_abbrev = False
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                _lenient(one)
            continue
        action.required = False
        action.nargs = "*" if not action.option_strings and action.nargs in (None, "+") else action.nargs
        action.choices = Choices(action.choices) if action.choices else None
        action.type = _or_placeholder(action.type) if action.type else None
    parser._mutually_exclusive_groups.clear()
    return parser


def _or_placeholder(type_of: Any) -> Callable[[str], Any]:
    return lambda text: text if text.isupper() else type_of(text)


def _parser(command: str) -> argparse.ArgumentParser:
    if command == "python -m cxr":
        return cli.parser()
    if command == "python -m benchmarks.growth":
        return growth_parser()
    if command == "python -m benchmarks":
        return benchmarks_parser()
    if command == "remote.py":
        return remote_command.parser()
    if command == "Model_Training/film_check.py":
        return check_command.parser()
    parser = argparse.ArgumentParser()
    {"train.py": training_command, "test.py": testing_command}[command].add_flags(parser)
    return parser


COMMANDS = r"(?:train|test|remote|Model_Training/film_check)\.py|python -m (?:cxr|benchmarks(?:\.growth)?)"


def _command_lines(text: str) -> Iterator[tuple[str, str]]:
    """(command, its arguments) of every line of a document, in code or in prose."""
    text = re.sub(r"\\\n\s*", " ", text)
    flags = re.search(r"^FLAGS=\((.*)\)$", text, re.MULTILINE)
    text = text.replace('"${FLAGS[@]}"', flags.group(1) if flags else "")
    before = ""
    for line in text.splitlines():
        for command, arguments in re.findall(rf"\b({COMMANDS})\b([^`|&>#]*)", line):
            before = command
            yield command, arguments
        if re.match(r"    \.\.\. --", line):  # the line before with other flags
            yield before, line.partition("#")[0]


COMMAND_LINES = [
    pytest.param(command, arguments.strip(), id=f"{file.name}: {command} {arguments.strip()}")
    for file in FILES
    for command, arguments in _command_lines(file.read_text())
    if " -" in arguments or command in ("remote.py", "python -m cxr")
]


@pytest.mark.parametrize(("command", "arguments"), COMMAND_LINES)
def test_every_command_line_of_the_documents_is_one(command: str, arguments: str) -> None:
    words = [word for word in shlex.split(arguments.translate({91: " ", 93: " "})) if word not in ("...", "--help")]
    words = words[: words.index("the")] if "the" in words else words  # `... the same flags ...`
    if words and not words[0].startswith((":", "(", "]")):
        _lenient(_parser(command)).parse_args(words)


def test_a_wrong_flag_in_a_document_is_found() -> None:
    (found,) = _command_lines("    python Model_Training/train.py --data NIH \\\n        --epoch-count 3   # no")
    with pytest.raises(Refused, match="--epoch-count"):
        test_every_command_line_of_the_documents_is_one(*found)
    with pytest.raises(Refused, match="invalid choice"):
        test_every_command_line_of_the_documents_is_one("train.py", "--task cheststray14")
    assert len(COMMAND_LINES) > 40


def test_continuous_integration_runs_the_readmes_testing_command() -> None:
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert "-r requirements.txt && .venv/bin/python -m pytest" in readme
    assert "-r requirements.txt" in script
    assert 'bin/python" -m pytest' in script
