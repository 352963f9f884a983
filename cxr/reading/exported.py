"""A model file, read once: what was hashed is what runs, even when the file is replaced meanwhile."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import openvino

from cxr.errors import ModelFileError
from cxr.modelfile import METADATA_KEY, OUTPUTS, ModelInfo


@dataclass(frozen=True, eq=False)
class Exported:
    """The content of an ONNX file that this project exported."""

    name: str
    content: bytes
    network: openvino.Model

    @classmethod
    def read(cls, file: Path) -> "Exported":
        """Raises ModelFileError when `file` is missing, damaged or no ONNX file."""
        try:
            content = file.read_bytes()
            return cls(file.name, content, openvino.Core().read_model(content))
        except OSError as error:
            raise ModelFileError(
                f"The model file {file.name!r} cannot be opened ({error.strerror}); give an exported .onnx file with "
                "--model."
            ) from error
        except RuntimeError as error:
            raise ModelFileError(
                f"The model file {file.name} cannot be read: it is damaged or not an ONNX file; copy or export it "
                "again."
            ) from error

    @cached_property
    def sha256(self) -> str:
        """Which weights these are."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def info(self) -> ModelInfo:
        """What the model says about itself. Raises ModelFileError when it is no model of findings."""
        text = self.text(METADATA_KEY)
        names = {name for output in self.network.outputs for name in output.names}
        if not names.issuperset(OUTPUTS):
            raise ModelFileError(f"{self.name} has outputs {sorted(names)}, not {list(OUTPUTS)}; export it again.")
        try:
            return ModelInfo.from_json(text)
        except ModelFileError as error:
            raise ModelFileError(f"{self.name}: {error}") from error

    def text(self, key: str) -> str:
        """What stands under `key` in the file. Raises ModelFileError when nothing does."""
        try:
            return str(self.network.get_rt_info(["framework", key]).astype(str))
        except RuntimeError as error:
            raise ModelFileError(
                f"{self.name} was not exported by this project; use `python -m cxr export`."
            ) from error
