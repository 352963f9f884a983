"""The suite of benchmarks tells what it has measured, and nothing else."""

import pytest

from benchmarks.__main__ import PARTS, parser
from benchmarks.measuring import Part, in_turn, ratio, spread


def test_a_part_is_a_markdown_table() -> None:
    part = Part("Start", [{"start": "first", "s": 2.345}, {"start": "second", "s": 1234.5}], "On two cores.")
    assert part.table() == (
        "## Start\n\n| start | s |\n|---|---|\n| first | 2.35 |\n| second | 1,234 |\n\nOn two cores."
    )


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    assert ratio([10.0, 30.0, 20.0], [1.0, 1.0, 4.0]) == 10.0
    assert spread([0.0301, 0.02, 0.025], 1e3) == "20 to 30.1"


def test_contenders_take_turns_and_have_one_round_at_least() -> None:
    calls: list[str] = []
    spent = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, budget_s=0)
    assert {name: len(seconds) for name, seconds in spent.items()} == {"a": 1, "b": 1}
    assert calls == ["a", "b"] * 9


def test_parts_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args([]).only == list(PARTS)
    assert parser().parse_args(["--only", "film,start"]).only == ["film", "start"]
    with pytest.raises(SystemExit):
        parser().parse_args(["--only", "films"])
    assert "choose of maps, film" in capsys.readouterr().err
