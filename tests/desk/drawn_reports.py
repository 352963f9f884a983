"""Reports as tests want them, without a model."""

import numpy as np

from cxr.desk.store import NewFilm, Store
from cxr.films.film import Metadata
from cxr.films.prepare import Box
from cxr.films.reasons import because
from cxr.modelfile import OperatingPoint
from cxr.reading.report import FilmCheck, ModelIdentity, Report, findings_of

POINT = OperatingPoint(0.5, 0.8, 0.8, 40)
NEGATIVE = because("inverted")


def report(kind: str = "multilabel", *, refused: bool = False, **probabilities: float) -> Report:
    """Findings of these probabilities, each with an operating point of 0.5."""
    points = dict.fromkeys(probabilities, POINT)
    return Report(
        findings=() if refused else findings_of(probabilities.values(), points, kind),
        maps=np.zeros((0 if refused else len(probabilities), 1, 1), np.uint8),
        box=Box(),
        model=ModelIdentity("drawn", "chestxray14", "Title", "adults", "none", "ab" * 32, "youden", kind),
        check=FilmCheck((NEGATIVE,) if refused else ()),
        film=Metadata("PNG", 8),
    )


def add(
    store: Store,
    name: str,
    read: Report | None = None,
    patient: str = "",
    study: str = "",
    upload: str = "u",
    content: bytes = b"",
) -> str:
    """Id of a film that was taken in, and read unless there is no report."""
    new = NewFilm(name, "PNG", "chestxray14", upload, b"thumbnail", gradcam=False, patient=patient, study=study)
    claim = store.add(content or name.encode(), new, lease_s=60)
    if read is not None:
        assert store.begin(claim, 60) and store.finish(claim, read)
    return claim.film_id
