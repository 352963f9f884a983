"""Read chest films from Python or the command line: `python predictions.py film.png`.

from predictions import Predictor
report = Predictor.load().predict("film.png")
for finding in report.ranked():
    print(finding.label, finding.probability, finding.above)
"""

import os
import sys
from pathlib import Path

from cxr.films.film import Limits
from cxr.films.read import read_film
from cxr.reading.reader import Reader
from cxr.reading.report import Report
from cxr.settings import Settings


class Predictor:
    """The public face of reading: one model, any number of films, from any number of threads."""

    def __init__(self, reader: Reader, limits: Limits):
        self.reader = reader
        self._limits = limits

    @classmethod
    def load(cls, model: str | Path | None = None, settings: Settings | None = None) -> "Predictor":
        """Load an exported model; without a name the first of CXR_MODEL, else the shipped chestxray14.

        Raises:
            ModelFileError: the file is missing, damaged, or not exported by this project.
            SettingError: a setting cannot be used, or a calibration was made for another model.
        """
        settings = settings or Settings.from_environment()
        return cls(Reader.load(model, settings), Limits.of(settings))

    def predict(self, film: str | os.PathLike[str] | bytes, *, anyway: bool = False) -> Report:
        """Read one film, given as a path or as the bytes of a PNG, JPEG or DICOM file.

        A film that the film check refuses has a report without findings, whose `check` says why; `anyway` has it read
        all the same.

        Raises:
            CxrError: the film cannot be read; the message says why and what to do.
        """
        return self.reader.read(read_film(film, self._limits, frontal_only=False), anyway=anyway)


if __name__ == "__main__":
    from cxr.cli import main

    sys.exit(main(["predict", *sys.argv[1:]]))
