"""What a DICOM header says against a frontal chest film, and the table of all reasons."""

from pathlib import Path

import pytest

from cxr.films.film import Metadata
from cxr.films.header import header_reasons
from cxr.films.read import read_film
from cxr.films.reasons import REASONS, REFUSE, WARN, because
from tests.phantom import phantom_dicom

DOCUMENT = Path(__file__).parents[2] / "docs" / "film-check.md"


def test_a_frontal_chest_film_has_no_reason_against_it() -> None:
    assert header_reasons(Metadata("DICOM", 12, body_part="CHEST", view_position="PA")) == ()


def test_another_body_part_and_another_view_are_two_reasons() -> None:
    part, view = header_reasons(Metadata("DICOM", 12, body_part="HAND", view_position="LL"))
    assert (part.code, part.severity, view.code, view.severity) == ("other_body_part", REFUSE, "other_view", REFUSE)
    assert part.text == "Body Part Examined (0018,0015) is 'HAND'. Send a frontal chest film."
    assert view.text == "View Position (0018,5101) is 'LL': the film is lateral. Send the frontal film (PA or AP)."


@pytest.mark.parametrize("element", [{"BodyPartExamined": "KNEE"}, {"ViewPosition": "LATERAL"}])
def test_such_a_film_is_read_for_those_who_ask(element: dict[str, str]) -> None:
    film = read_film(phantom_dicom(64, 64, **element), frontal_only=False)
    assert len(header_reasons(film.metadata)) == 1


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_says_what_is_wrong_and_what_to_do_and_is_documented(code: str) -> None:
    kind = REASONS[code]
    assert kind.severity in (REFUSE, WARN)
    assert kind.what.endswith(".") and kind.remedy.endswith(".")
    assert f"| `{code}` | {kind.severity} |" in DOCUMENT.read_text("utf-8")


def test_a_reason_has_its_values_filled_in() -> None:
    assert because("flat", share=0.123).text.startswith("The film has no contrast: its greys span 12% of the range.")
