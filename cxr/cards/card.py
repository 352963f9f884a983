"""The card file beside a model file: what was measured of this very file, bound to it by its sha256."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from cxr.cards.measured import Measured, Result, plain, typed
from cxr.errors import ModelFileError
from cxr.modelfile import ModelInfo

SCHEMA = 1
DIGITS = 4  # decimals of what is kept
NUMBERS = re.compile(r"\[([-\d.e,\s]*)\]")  # a curve stands on one line


@dataclass(frozen=True)
class Card:
    """What a card file holds."""

    model: str
    sha256: str
    measured: Measured

    def to_json(self) -> str:
        text = json.dumps({"schema": SCHEMA, **plain(self, DIGITS)}, indent=1, allow_nan=False)
        return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


@dataclass(frozen=True)
class Described:
    """A model file with its card, or with the reason why it has none that counts."""

    info: ModelInfo
    sha256: str
    card: Card | None = None
    trouble: str = ""

    @property
    def results(self) -> tuple[Result, ...]:
        """What was measured, the internal part first; none without a card."""
        return self.card.measured.evaluations if self.card else ()


def card_file(model: Path) -> Path:
    """`chestxray14.onnx` -> `chestxray14.card.json` beside it."""
    return model.parent / f"{model.stem}.card.json"


def make(model: str, sha256: str, measured: Measured) -> Card:
    """Raises ModelFileError when the report is of another file, or of none."""
    if measured.subject.sha256 != sha256:
        whose = f"of the model file {measured.subject.sha256[:12]}" if measured.subject.sha256 else "of no model file"
        raise ModelFileError(
            f"The report is {whose}, and {model} is {sha256[:12]}; measure this very file: "
            "python -m cxr card FILE --data DIR --out REPORT."
        )
    return Card(model, sha256, measured)


def read(file: Path, sha256: str) -> Card:
    """The card in `file`. Raises ModelFileError when it cannot be read or is of another model file than `sha256`."""
    try:
        raw = json.loads(file.read_text("utf-8"))
        schema: int = raw["schema"]
        card: Card = typed(Card, raw)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{file.name} is no model card ({type(error).__name__}: {error}).") from error
    if schema != SCHEMA:
        raise ModelFileError(f"{file.name} has schema {schema}, this version reads {SCHEMA}; make the card again.")
    if card.sha256 != sha256:
        raise ModelFileError(
            f"{file.name} is the card of another model file ({card.sha256[:12]}, not {sha256[:12]}), so its figures "
            "are not shown; make it again with `python -m cxr card`."
        )
    return card


def describe(model: Path, info: ModelInfo, sha256: str) -> Described:
    """The model with the card beside its file, where there is one of this very file."""
    file = card_file(model)
    if not file.is_file():
        return Described(info, sha256, trouble="This model has no card: nothing measured of it is told here.")
    try:
        return Described(info, sha256, read(file, sha256))
    except ModelFileError as error:
        return Described(info, sha256, trouble=str(error))
