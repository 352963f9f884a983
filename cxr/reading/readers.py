"""Several models in one process: the reader of each task, loaded when it is first asked for."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxr.cards.card import Described, describe
from cxr.errors import BadRequest, ModelFileError, SettingError
from cxr.modelfile import ModelInfo
from cxr.reading.derived import SOURCES, DerivedEngine, derived_info
from cxr.reading.engine import WEIGHTS, Engine
from cxr.reading.exported import Exported
from cxr.reading.reader import Reader, points_of
from cxr.reading.report import title_of
from cxr.reading.site import SiteCalibration, site_calibrations
from cxr.settings import Settings
from cxr.tasks import HEALTHY

FIRST_TASK = "chestxray14"  # the default where no model file is given


@dataclass(frozen=True)
class Model:
    """A model file, and what it is as a model of the task that it serves."""

    file: Path
    info: ModelInfo
    sha256: str = ""  # of the file as it was at the start
    site: SiteCalibration | None = None  # of this very task
    own: ModelInfo | None = None  # what the file says, of its own task and without a site's calibration

    def calibrated(self, site: SiteCalibration | None) -> "Model":
        """Raises SettingError when `site` was made for another model."""
        return replace(self, info=site.applied_to(self.info, self.sha256), site=site) if site else self


class Readers:
    """Task -> reader. Safe to share among threads."""

    def __init__(self, models: dict[str, Model], default: str, settings: Settings, *, throughput: bool = False):
        """`models` by task; `throughput` as Engine takes it.

        Raises SettingError when a model lacks the operating points of the settings.
        """
        self.default = default
        self._models = {default: models[default]} | models
        self._settings, self._throughput = settings, throughput
        self._files, self._sites = models, dict[str, SiteCalibration]()
        self._readers: dict[str, Reader] = {}
        self._engines: dict[Path, Engine | DerivedEngine] = {}
        self._loading = threading.Lock()
        for model in models.values():
            points_of(model.info, settings.operating_point)

    @classmethod
    def find(
        cls,
        settings: Settings,
        given: Sequence[Path] = (),
        *,
        shipped: Path | None = WEIGHTS,
        throughput: bool = False,
    ) -> "Readers":
        """Readers of the files `given`, else of those of the settings; models of the folder `shipped` serve the rest.

        The setting `shipped_models` withholds these where there are files. Every file is read here, so that a damaged
        one is found at the start; none is compiled yet.

        Raises:
            ModelFileError: a file is missing, damaged, or not exported by this project.
            SettingError: two files are models of one task, one lacks the operating points of the settings, or a
                calibration of the settings was made for another model or for a task that nothing serves. Where the
                given files are read alone, calibrations of other tasks are left aside.
        """
        sites = site_calibrations(settings)
        own = _by_task(given or settings.model_files)
        beside = shipped if settings.shipped_models or not own else None
        models = (_by_task(sorted(beside.glob("*.onnx"))) if beside else {}) | own
        default = next(iter(own), FIRST_TASK if FIRST_TASK in models else next(iter(models), ""))
        if not default:
            raise SettingError(f"There is no model file in {shipped}; give one with --model or CXR_MODEL.")
        served = _calibrated(models, sites)
        if shipped is not None:
            _validate_tasks(sites, served)
        made = cls(served, default, settings, throughput=throughput)
        made._files, made._sites = models, sites
        return made

    def adjusted(self, default: str, operating_point: str, sites: Mapping[str, SiteCalibration]) -> "Readers":
        """Readers of the same files, whose engines they share. `sites` go before those of the settings.

        Raises SettingError when a model lacks the operating points, the task is not served, or a calibration was made
        for another model.
        """
        settings, calibrated = replace(self._settings, operating_point=operating_point), {**self._sites, **sites}
        served = _calibrated(self._files, calibrated)
        _validate_tasks(sites, served)
        if default not in served:
            raise SettingError(
                f"There is no model of the task {default[:64]!r} here; choose one of {', '.join(served)}."
            )
        made = Readers(served, default, settings, throughput=self._throughput)
        made._files, made._sites, made._engines = self._files, self._sites, self._engines
        made._loading = self._loading
        return made

    @classmethod
    def holding(cls, *readers: Reader) -> "Readers":
        """Readers that are loaded already; the task of the first is the default."""
        made = cls(
            {r.info.task: Model(Path(r.info.task), r.info, r.identity.sha256) for r in readers},
            readers[0].info.task,
            Settings(),
        )
        made._readers = {r.info.task: r for r in readers}
        made._engines = {Path(r.info.task): r._engine for r in readers}
        return made

    @property
    def tasks(self) -> dict[str, ModelInfo]:
        """What is served, by task; the default first."""
        return {task: model.info for task, model in self._models.items()}

    @property
    def alarm_titles(self) -> dict[str, str]:
        """Labels that raise an alarm, in order, and their titles; with their tasks where titles are alike."""
        labels = {label for info in self.tasks.values() for label in info.labels} - HEALTHY
        titles = {label: title_of(label) for label in sorted(labels)}
        alike = Counter(titles.values())
        for label, title in titles.items():
            if alike[title] > 1:
                tasks = [task for task, info in self.tasks.items() if label in info.labels]
                titles[label] = f"{title} ({', '.join(tasks)})"
        return titles

    def sha256_of(self, task: str) -> str:
        """Of the file that serves `task`."""
        return self._models[task].sha256

    def described(self, task: str) -> Described:
        """The model file that serves `task`, as a model of its own task, with its card."""
        model = self._models[task]
        return describe(model.file, model.own or model.info, model.sha256)

    def of(self, task: str = "") -> Reader:
        """The reader of `task`, or of the default.

        Raises:
            BadRequest: there is no model of the task.
            ModelFileError: its file was moved, damaged or changed since the start.
        """
        task = task or self.default
        self.validate(task)
        reader = self._readers.get(task)  # a reader that is there must not wait until another one is loaded
        if reader is None:
            with self._loading:
                reader = self._readers.get(task) or self._load(task)
                self._readers[task] = reader
        return reader

    def validate(self, task: str) -> None:
        """Raises BadRequest when there is no model of `task`."""
        if task not in self._models:
            raise BadRequest(
                f"There is no model of the task {task[:64]!r} here; give one with --model or CXR_MODEL, or choose one "
                f"of: {', '.join(self._models)}."
            )

    def _load(self, task: str) -> Reader:
        model = self._models[task]
        if model.file not in self._engines:
            self._engines[model.file] = self._compile(model)
        engine, site = self._engines[model.file], model.site
        if isinstance(engine, DerivedEngine) or engine.info.task == task:
            return Reader(engine, self._settings.operating_point, site)
        # A calibration of the derived task itself was found on logits under the model's own.
        behind = None if site else self._models[engine.info.task].site
        return Reader(DerivedEngine(engine, task, behind), self._settings.operating_point, site)

    def _compile(self, model: Model) -> Engine:
        """Raises ModelFileError when the file is another one than at the start, by which tasks and pages go."""
        engine = Engine(model.file, self._settings, throughput=self._throughput)
        if engine.sha256 != model.sha256:
            raise ModelFileError(
                f"The model file {model.file.name} was changed since the desk was started; restart the desk."
            )
        return engine


def _by_task(files: Iterable[Path]) -> dict[str, Model]:
    """In the order of the files. Raises SettingError when two are models of one task."""
    models: dict[str, Model] = {}
    for file in dict.fromkeys(files):
        exported = Exported.read(file)
        info = exported.info
        if info.task in models:
            raise SettingError(
                f"{models[info.task].file} and {file} are both models of the task {info.task}; give one of them."
            )
        models[info.task] = Model(file, info, exported.sha256, own=info)
    return models


def _validate_tasks(sites: Mapping[str, SiteCalibration], served: Mapping[str, Model]) -> None:
    for task, site in sites.items():
        if task not in served:
            raise SettingError(
                f"{site.file} was made for the model {site.model} of the task {task}, which no model here serves; "
                f"give that model with --model or CXR_MODEL, or take it out of CXR_CALIBRATION. "
                f"Served: {', '.join(served)}."
            )


def _calibrated(models: dict[str, Model], sites: Mapping[str, SiteCalibration]) -> dict[str, Model]:
    """What is served with these models, those of derived tasks too."""
    derived = {task: model.calibrated(sites[task]) for task, model in _derived(models).items() if task in sites}
    served = {task: model.calibrated(sites.get(task)) for task, model in models.items()}
    return served | _derived(served) | derived


def _derived(models: dict[str, Model]) -> dict[str, Model]:
    """Models of tasks that have none of their own, but whose source has."""
    wanted = {task: models[source] for task, source in SOURCES.items() if task not in models and source in models}
    return {task: replace(model, info=derived_info(model.info, task), site=None) for task, model in wanted.items()}
