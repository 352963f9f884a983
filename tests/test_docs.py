"""The documents name all that there is."""

from pathlib import Path

import pytest

from cxr.cli import COMMANDS
from cxr.learning.losses import LOSSES
from cxr.learning.models import HEADS, POOLINGS
from cxr.learning.trunks import ARCHITECTURES
from cxr.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = "\n".join(file.read_text() for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


@pytest.mark.parametrize("name", [*TASKS, *ARCHITECTURES, *POOLINGS, *HEADS, *LOSSES])
def test_every_part_that_a_flag_names_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCUMENTS or f"--pooling {name}" in DOCUMENTS or f"--head {name}" in DOCUMENTS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"python -m cxr {command} " in DOCUMENTS


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", *(f"docs/{f.name}" for f in (ROOT / "docs").glob("*.md"))]
)
def test_links_between_documents_lead_somewhere(file: str) -> None:
    text = (ROOT / file).read_text()
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not ((ROOT / file).parent / target).exists()] == []


def test_continuous_integration_runs_the_readmes_testing_command() -> None:
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert "-r requirements.txt && .venv/bin/python -m pytest" in readme
    assert "-r requirements.txt" in script
    assert 'bin/python" -m pytest' in script
