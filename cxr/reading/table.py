"""One row for each film: the csv of the command line and of the desk."""

from collections.abc import Iterable

from cxr.reading.report import Finding


def columns(labels: Iterable[str]) -> list[str]:
    return ["film", "task", "model", *labels, "error"]


def row(name: str, task: str, sha256: str, findings: Iterable[Finding], error: str) -> dict[str, str]:
    """`sha256` is that of the model file; `error` says why there are no findings, or why there should be none."""
    about = {"film": name, "task": task, "model": sha256, "error": error}
    return about | {finding.label: f"{finding.probability:.6f}" for finding in findings}
