"""An archive read on a Ray cluster: the same lanes on each of its machines, rows in the same order."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr.errors import CxrError, SettingError
from cxr.reading.archive import Numbered, Plan
from cxr.reading.archive_tables import Row, Run

WAVE = 100_000  # films that Ray is told of at a time: it holds all their names
BATCH = 64  # films that a machine is sent at a time: so many rows at least are read again after a kill
Batch = dict[str, NDArray[Any]]  # column -> values


def rows_on_ray(address: str, plan: Plan, run: Run, films: Iterable[Numbered], workers: int | None) -> Iterator[Row]:
    """Rows of all `films`, in their order, read by as many `workers` as the cluster has cores, unless told.

    Raises:
        CxrError: Ray is not installed, or there is no cluster at `address`.
    """
    ray = _connected(address)
    workers = workers or int(ray.cluster_resources()["CPU"])
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False  # the command has one
    plan = replace(plan, settings=replace(plan.settings, threads=plan.settings.threads or 1, secret_key=""))
    remaining = iter(films)
    while wave := [{"number": number, "film": os.fsencode(name)} for number, name in islice(remaining, WAVE)]:
        batches = math.ceil(len(wave) / BATCH)
        read = ray.data.from_items(wave, override_num_blocks=batches).map_batches(
            RayWorker,
            fn_constructor_args=(plan, run),
            batch_size=BATCH,
            num_cpus=plan.settings.threads,
            compute=ray.data.ActorPoolStrategy(size=min(workers, batches)),
        )
        for row in read.iter_rows():
            yield {column: str(row[column]) for column in run.columns}


def _connected(address: str) -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise CxrError(
            "--ray needs the Python package ray, which is missing or broken. Install it (pip install 'ray[data]')."
        ) from error
    try:
        ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise CxrError(f"There is no Ray cluster at {address} ({error}); start one with `ray start --head`.") from error
    return ray


class RayWorker:
    """A reader on one of the cluster's machines, with a process that decodes beside it."""

    def __init__(self, plan: Plan, run: Run):
        """Raises SettingError where this machine would give other answers than the one that asks."""
        reader = plan.load()
        if (mine := plan.run_of(reader)) != run:
            raise SettingError(f"A machine of the cluster has {mine}, the one that asks {run}; make them alike.")
        self._columns = run.columns
        self._held = plan.reading(reader, workers=1)  # for as long as this process
        self._reading = self._held.__enter__()

    def __call__(self, batch: Batch) -> Batch:
        films = zip(batch["number"].tolist(), map(os.fsdecode, batch["film"]), strict=True)
        rows = list(self._reading.rows(films))
        return {column: np.array([row.get(column, "") for row in rows], object) for column in self._columns}
