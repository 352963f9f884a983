"""The simulation of a desk under load agrees with queues whose waits are known."""

import numpy as np
import pytest

from benchmarks.growth import cores_for, simulate


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_film_at_a_time_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    answers = simulate(load, np.array([1.0]), slots=1, cores=1, films=20_000)
    assert answers.mean() == pytest.approx(1 + load / (2 * (1 - load)), rel=0.05)


def test_films_that_share_a_core_wait_as_processor_sharing_says() -> None:
    works = np.random.default_rng(1).exponential(1, 5000)
    answers = simulate(0.5, works, slots=100, cores=1, films=20_000)
    assert answers.mean() == pytest.approx(works.mean() / (1 - 0.5 * works.mean()), rel=0.05)


def test_without_a_queue_an_answer_takes_as_long_as_its_work() -> None:
    assert simulate(0.001, np.array([0.5]), slots=4, cores=4, films=50) == pytest.approx(0.5)


def test_more_films_need_more_cores() -> None:
    work = np.array([0.1])
    assert cores_for(3_000, work) == 1
    assert cores_for(1_000_000, work) > 1_000_000 * 0.12 / 3600 * 0.1
