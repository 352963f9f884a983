"""The house holds: imports run one way, and serving never knows torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cxr"
# From the ground up. A module imports only from floors below its own, or from its own wing.
FLOORS = (
    {"cxr", "cxr.errors", "cxr.durable", "cxr.memory"},
    {"cxr.settings", "cxr.tasks", "cxr.metrics"},
    {"cxr.scaling", "cxr.uncertainty", "cxr.wording", "cxr.charts"},
    {"cxr.modelfile", "cxr.checkfile"},
    {"cxr.cards"},
    {"cxr.films"},
    {"cxr.reading", "cxr.learning"},
    {"cxr.desk"},
    {"cxr.cli"},
    {"cxr.__main__"},
)
# Inside a wing a later module imports earlier ones, never the other way.
WINGS = {
    "cxr.films": (
        "film", "reasons", "header", "prepare", "codestream", "raster", "grey", "codecworker", "isolation", "pixeldata",
        "dicomsigns", "dicomfile", "dicom", "read",
    ),
    "cxr.cards": ("measured", "sources", "retraining", "card", "blocks", "pictures", "results", "sections", "formats"),
    "cxr.learning": (
        "faults", "losses", "marks", "augment", "tables", "csv_layouts", "folder_layouts", "packing",
        "datasets", "supply", "travel", "boxes", "batches", "devices", "preactivation", "trunks", "models",
        "explain", "schedule", "budget", "checkpoints", "parts", "ensemble", "distillation", "stopping", "runs",
        "training", "looking", "deletion", "references", "calibration", "figures", "evaluation", "reliability",
        "appraisal", "evaluation_report", "export", "release", "checks", "training_command",
        "remote_command", "testing_command", "commands", "check_pictures", "check_variants", "check_net",
        "check_training", "check_command",
    ),
    "cxr.reading": (
        "exported", "engine_cache", "engine_openvino", "engine_onnxruntime", "engine", "site", "derived", "report",
        "table", "check", "preparation", "reader", "readers", "labels", "outcomes", "archive_sources",
        "archive_decoders", "archive_tables", "archive", "archive_ray",
    ),
    "cxr.desk": (
        "extensions", "days", "faults", "storage", "migrations", "sqlite", "postgresql", "tables", "binding",
        "heatmap_rows", "refusals", "people_tables", "audit", "tries", "people", "sessions", "visitors", "trail",
        "worklist_tables", "site_settings_rows", "worklist_urgency", "worklist_rows", "worklist_patients",
        "worklist_searches", "worklist",
        "answers", "keys", "scores", "store", "instance", "backup", "heatmap_files", "retention",
        "site_settings", "pictures", "intake", "zips", "forms", "uploads", "views", "cards", "site_settings_values",
        "looks", "answers_views", "worklist_query", "film_report", "pages", "viewing", "openapi", "api", "api_parts",
        "worklist_csv", "worklist_chosen", "worklist_pages", "worklist_api", "site_settings_pages",
        "film_report_pdf", "film_report_views", "statistics_drift", "statistics", "statistics_queries",
        "statistics_charts", "statistics_views", "people_pages", "audit_pages", "api_people", "door", "app", "serve",
    ),
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _wing(module: str) -> str:
    """`cxr.films.read` -> `cxr.films`; a single module is a wing of its own."""
    return ".".join(module.split(".")[:2])


def _room(module: str) -> str:
    """`cxr.films.read` -> `read`; what stands in a folder within a wing is one room."""
    return module.split(".")[2]


def _floor(module: str) -> int:
    return next(level for level, wings in enumerate(FLOORS) if _wing(module) in wings)


def _imports(file: Path) -> set[str]:
    """Modules of this project that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cxr":
            found |= {_as_module(f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "cxr"}
    return found


def _as_module(dotted: str) -> str:
    """`cxr.films.read.read_film` -> `cxr.films.read`; `cxr.learning.checkpoints` stays."""
    path = ROOT / Path(*dotted.split("."))
    return dotted if path.with_suffix(".py").exists() or path.is_dir() else dotted.rpartition(".")[0]


@pytest.mark.parametrize("file", MODULES, ids=_name)
def test_a_module_imports_only_from_floors_below(file: Path) -> None:
    module = _name(file)
    wrong = [other for other in _imports(file) if _floor(other) >= _floor(module) and _wing(other) != _wing(module)]
    assert not wrong


@pytest.mark.parametrize("file", MODULES, ids=_name)
def test_inside_a_wing_later_modules_import_earlier_ones(file: Path) -> None:
    module = _name(file)
    order = WINGS.get(_wing(module), ())
    if module == _wing(module) or not order:
        return
    mine = order.index(_room(module))
    inside = [_room(other) for other in _imports(file) if _wing(other) == _wing(module) != other]
    assert [other for other in inside if order.index(other) >= mine] == []


@pytest.mark.parametrize("wing", ["cxr.films", "cxr.reading", "cxr.desk", "cxr.cli", "main", "predictions"])
def test_serving_never_imports_torch(wing: str) -> None:
    """Every module of the wing is imported in a fresh process, where torch is made impossible to import."""
    folder = ROOT / Path(*wing.split("."))
    modules = [_name(file) for file in sorted(folder.rglob("*.py"))] if folder.is_dir() else [wing]
    code = f"import sys, importlib; sys.modules['torch'] = None\nfor m in {modules!r}: importlib.import_module(m)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
