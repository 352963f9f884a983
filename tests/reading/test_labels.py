"""A csv of labelled films: what is understood, and the one sentence for each thing that is not."""

from pathlib import Path

import numpy as np
import pytest

from cxr.errors import BadRequest
from cxr.reading.labels import LabelledFilms, read_labels
from tests.reading.tiny import tiny_info


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "one/twin.png", "two/twin.png", "two/c.png"):
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).touch()
    return tmp_path / "films"


def _read(films: Path, text: str | bytes, task: str = "chestxray14") -> LabelledFilms:
    table = films.parent / "labels.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(table, films, tiny_info(task))


def test_labels_that_are_not_told_are_not_known(films: Path) -> None:
    made = _read(films, "\ufefffilm,patient,Mass, pleural thickening ,age\na.png,7,1,,40\ntwo/c.png,,0.0, 1,50\n")
    labels = tiny_info("chestxray14").labels
    mass, thickening = (made.truth[:, labels.index(name)] for name in ("Mass", "Pleural_Thickening"))
    assert mass.tolist() == [1, 0]
    np.testing.assert_array_equal(thickening, [np.nan, 1])
    assert np.isnan(made.truth).sum() == 2 * 14 - 3
    assert made.paths == (films / "a.png", films / "two" / "c.png")
    assert made.unused == ("age",)
    assert made.patients.tolist() == ["patient 7", "film 1"]


def test_a_film_is_found_by_its_name_alone_in_a_folder_below(films: Path) -> None:
    made = _read(films, "path,Mass\nc.png,1\ntwo/twin.png,0\n")
    assert made.paths == (films / "two" / "c.png", films / "two" / "twin.png")
    assert not made.names_patients
    assert len(set(made.patients)) == 2


def test_one_class_tells_all_of_them(films: Path) -> None:
    made = _read(films, "film,covid,normal\na.png,1,\nb.png,,\nc.png,0,1\n", "covid3")
    np.testing.assert_array_equal(made.truth, [[1, 0, 0], [np.nan] * 3, [0, 0, 1]])


def test_a_film_with_zeros_alone_has_no_known_class_and_is_named(films: Path) -> None:
    made = _read(films, "film,covid,pneumonia\na.png,0,1\nb.png,0,0\ntwo/c.png,,\n", "covid3")
    np.testing.assert_array_equal(made.truth, [[0, 1, 0], [np.nan] * 3, [np.nan] * 3])
    assert made.undecided == made.take(np.array([0])).undecided == ("b.png",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no column film or path|lists no film"),
        ("film,Mass\n", "lists no film"),
        ("name,Mass\na.png,1\n", "has no column film or path, .* its columns are: name, Mass"),
        ("film;Mass\na.png;1\n", "Separate columns by commas"),
        ("film,Cough\na.png,1\n", "has no column of a label of the model tiny chestxray14, which knows Atelectasis"),
        ("film,Mass,mass\na.png,1,1\n", "has two columns of Mass: Mass and mass"),
        ("film,Mass,Mass\na.png,1,1\n", "has two columns of one name"),
        ("film,Mass\na.png,yes\n", "line 2: Mass is 'yes'; write 1, 0, or nothing"),
        ("film,Mass\na.png,1\nb.png,-1\n", "line 3: Mass is '-1'"),
        ("film,Mass\na.png,1,1\n", "line 2, has more values than there are columns"),
        ("film,Mass\na.png,1\nb.png,0\na.png,0\n", "line 4: the film 'a.png' stands in line 2 already"),
        ("film,Mass\nc.png,1\ntwo/../two/c.png,0\n", "line 3: the film .* stands in line 2 already"),
        ("film,Mass\na.png,1\nx.png,1\n,0\n", "2 of the 3 films of .* the first in line 3: 'x.png'"),
        ("film,Mass\ntwin.png,1\n", "several films in .* are named 'twin.png'"),
        ("film,Mass\n\0,1\n", "are not in .* the first in line 2|is not a csv"),
        (b"film,Mass\nr\xf6ntgen.png,1\n", "is not a csv in UTF-8"),
        ('film,Mass\n"a.png,1\n', "is not a csv in UTF-8"),
    ],
)
def test_what_cannot_be_understood_is_one_sentence(films: Path, text: str | bytes, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        _read(films, text)


@pytest.mark.parametrize(("row", "told"), [("1,1,0", "2"), ("0,0,0", "none")])
def test_a_film_of_several_classes_or_of_none_is_named(films: Path, row: str, told: str) -> None:
    with pytest.raises(BadRequest, match=f"line 2: the film belongs to {told} of the classes covid, pneumonia, normal"):
        _read(films, f"film,covid,pneumonia,normal\na.png,{row}\n", "covid3")


def test_a_csv_or_a_folder_that_is_not_there_is_named(films: Path) -> None:
    with pytest.raises(BadRequest, match=r"nothing\.csv cannot be read"):
        read_labels(films / "nothing.csv", films, tiny_info("covid3"))
    (films.parent / "labels.csv").write_text("film,covid\na.png,1\n")
    with pytest.raises(BadRequest, match=r"There is no folder .*absent"):
        read_labels(films.parent / "labels.csv", films / "absent", tiny_info("covid3"))
