"""What stands in the file of the film check beside its network: what passes between learning and reading for it."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from cxr.errors import ModelFileError

CHECK_KEY = "cxr-check"  # of the ONNX metadata
CHECK_SCHEMA = 1
SIGNS = ("not_a_radiograph", "inverted", "mirrored", "cut_off")  # columns of the output `signs`, each by itself
TURNS = (0, 90, 180, 270)  # columns of the output `turns`, one of all: degrees, to the left, that a film was turned
ROTATED = "rotated"  # 1 - the share of 0 degrees
CHECK_OUTPUTS = ("signs", "turns")  # (N, 4) and (N, 4), probabilities


@dataclass(frozen=True)
class CheckInfo:
    """Everything about the film check's network but its weights."""

    size: int  # S: it sees films squashed to (N, 1, S, S), grey in [0, 1]
    thresholds: dict[str, float]  # each of SIGNS, and ROTATED -> the score from which the film has it
    training: dict[str, Any] = field(default_factory=dict)  # the record: data, pictures, figures, versions

    def to_json(self) -> str:
        return json.dumps({"schema": CHECK_SCHEMA, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "CheckInfo":
        """Parse what `to_json` wrote. Raises ModelFileError for anything else."""
        try:
            raw = json.loads(text)
            if (schema := raw.pop("schema")) != CHECK_SCHEMA:
                raise ModelFileError(f"The film check has schema {schema}, this version reads {CHECK_SCHEMA}.")
            info = cls(**raw)
            if info.thresholds.keys() != {*SIGNS, ROTATED}:
                raise ModelFileError(f"The film check has thresholds for {', '.join(info.thresholds)}.")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFileError(f"The film check's metadata cannot be read ({error}).") from error
        return info
