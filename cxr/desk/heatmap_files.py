"""Heat-map PNGs as files, which the local desk writes."""

import re
import shutil
import threading
from pathlib import Path

from cxr.desk.tables import FilmRow

TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")  # FilmRow.gradcam


class HeatmapFolder:
    """Heat-map PNGs of the local desk, `<folder>/<random token>/<label>.png`: colour only, never the film.

    Several desks may share the folder, so each deletes those of its own films alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()  # a film may be deleted while its files are being written

    def write(self, film: FilmRow) -> None:
        assert film.report is not None
        report = film.report.restore()
        own = self.folder / film.gradcam
        with self._lock:
            own.mkdir(parents=True, exist_ok=True)
            for finding in report.findings:
                part = own / f"{finding.label}.part"
                part.write_bytes(report.heatmap_png(finding.label))
                part.replace(own / f"{finding.label}.png")

    def delete(self, token: str) -> None:
        if TOKEN.fullmatch(token):
            with self._lock:
                shutil.rmtree(self.folder / token, ignore_errors=True)

    def holds(self, token: str) -> bool:
        return (self.folder / token).exists()
