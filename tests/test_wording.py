import pytest

from cxr.tasks import TASKS
from cxr.wording import MEANINGS, blind_spots


@pytest.mark.parametrize("task", TASKS)
def test_every_label_of_a_task_has_a_meaning_in_a_few_words(task: str) -> None:
    for label in TASKS[task].labels:
        assert 0 < len(MEANINGS[label]) <= 60


def test_no_meaning_stands_there_for_nothing() -> None:
    assert set(MEANINGS) == {label for task in TASKS.values() for label in task.labels}


def test_blind_spots_leave_out_what_the_model_was_trained_for() -> None:
    adults, chexpert = (
        blind_spots(TASKS[name].labels, "adults", "multilabel") for name in ("chestxray14", "chexpert14")
    )
    assert adults[0].startswith("It was not trained for fractures, tubes, lines and other devices, tuberculosis,")
    assert chexpert[0].startswith("It was not trained for tuberculosis,")
    assert blind_spots(("viral", "normal"), "children", "multiclass")[0].startswith(
        "It always gives one of its 2 answers"
    )
