"""Every public download is read as it comes: drawn folders in each original layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxr.errors import TrainingDataError
from cxr.learning.csv_layouts import CHEXPERT_LABELS
from cxr.learning.datasets import LAYOUTS, PARTS, detect, read_data_set, read_part
from cxr.learning.folder_layouts import read_kermany
from cxr.tasks import Task

CHEXPERT = Task("chexpert", "", "", ("Cardiomegaly", "Pleural_Effusion", "Edema"))
PNEUMONIA3 = Task("three", "", "", ("Bacterial", "Viral", "Normal"), "multiclass")
PNEUMONIA = Task("one", "", "", ("Pneumonia",))
COVID3 = Task("covid", "", "", ("COVID", "Pneumonia", "Normal"), "multiclass")
OWN = Task("own", "", "", ("Effusion", "Mass"))

Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path, film: bytes) -> Draw:
    """Puts films at the given paths below a folder, which it gives back."""

    def put(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(film)
        return tmp_path

    return put


def chexpert_row(path: str, sex: str, age: int, view: str, **labels: str) -> str:
    side = "Lateral" if "lateral" in path else "Frontal"
    return ",".join([path, sex, str(age), side, view, *(labels.get(n.replace(" ", "_"), "") for n in CHEXPERT_LABELS)])


@pytest.fixture
def chexpert(draw: Draw) -> Path:
    """Two training patients, one of them with a lateral film, and one patient of `valid.csv`."""
    rows = {
        "train": [
            ("patient00001/study1/view1_frontal.jpg", "Female", 68, "AP", {"Cardiomegaly": "1.0", "Edema": "-1.0"}),
            ("patient00001/study1/view2_lateral.jpg", "Female", 68, "", {"Cardiomegaly": "1.0"}),
            ("patient00002/study1/view1_frontal.jpg", "Male", 87, "PA", {"Pleural_Effusion": "-1.0", "Edema": "0.0"}),
        ],
        "valid": [("patient64541/study1/view1_frontal.jpg", "Male", 73, "AP", {"Edema": "1.0"})],
    }
    header = ",".join(["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_LABELS])
    for part, films in rows.items():
        folder = draw(*(f"{part}/{name}" for name, *_ in films))
        lines = [chexpert_row(f"CheXpert-v1.0-small/{part}/{f[0]}", *f[1:4], **f[4]) for f in films]
        (folder / f"{part}.csv").write_text("\n".join([header, *lines]) + "\n")
    return folder


@pytest.mark.parametrize(("uncertain", "value"), [("ignore", np.nan), ("zeros", 0), ("ones", 1)])
def test_chexperts_uncertain_labels_become_what_was_chosen(chexpert: Path, uncertain: str, value: float) -> None:
    labels = read_data_set(chexpert, CHEXPERT, uncertain).official["train"].labels
    np.testing.assert_array_equal(labels, np.array([[1, 0, value], [0, value, 0]], np.float32))


def test_chexperts_frontal_films_alone_are_read_with_all_that_is_known_of_them(chexpert: Path) -> None:
    table = read_data_set(chexpert, CHEXPERT).official["train"]
    assert table.patients.tolist() == ["patient00001", "patient00002"]
    assert table.sex.tolist() == ["F", "M"]
    assert table.age_years.tolist() == [68, 87]
    assert table.view.tolist() == ["AP", "PA"]
    assert table.notes == ("train.csv: 1 lateral films left out, uncertain labels: ignore.",)


def test_chexperts_batches_may_lie_side_by_side(chexpert: Path) -> None:
    (chexpert / "batch 1 (validate & csv)").mkdir()
    for name in ("train.csv", "valid.csv", "valid"):
        (chexpert / name).rename(chexpert / "batch 1 (validate & csv)" / name)
    (chexpert / "train").rename(chexpert / "batch 2 (train 1)")
    assert [len(table) for table in read_data_set(chexpert, CHEXPERT).official.values()] == [2, 1]


def test_a_value_that_is_no_label_is_refused(chexpert: Path) -> None:
    file = chexpert / "train.csv"
    file.write_text(file.read_text().replace("-1.0", "maybe", 1))
    with pytest.raises(TrainingDataError, match=r"train.csv: Edema is 'maybe' in a row"):
        read_data_set(chexpert, CHEXPERT)


def test_a_patient_of_chexpert_in_both_lists_is_an_error(chexpert: Path, draw: Draw) -> None:
    draw("valid/patient00001/study9/view1_frontal.jpg")
    with (chexpert / "valid.csv").open("a") as stream:
        stream.write(chexpert_row("CheXpert-v1.0/valid/patient00001/study9/view1_frontal.jpg", "Male", 1, "AP") + "\n")
    with pytest.raises(TrainingDataError, match="patient patient00001 among them"):
        read_data_set(chexpert, CHEXPERT)


@pytest.fixture
def kermany(draw: Draw) -> Path:
    """Five train patients; person1 has a film in test/ too."""
    draw(*(f"chest_xray/train/NORMAL/{name}.jpeg" for name in ("IM-0115-0001", "NORMAL2-IM-0666-0001-0002")))
    draw(*(f"chest_xray/train/PNEUMONIA/person{name}.jpeg" for name in ("1_bacteria_1", "1_virus_6", "2_virus_7")))
    draw("chest_xray/train/PNEUMONIA/person3_bacteria_10.jpeg", "chest_xray/train/PNEUMONIA/._person3_bacteria_10.jpeg")
    draw("chest_xray/val/NORMAL/NORMAL2-IM-1427-0001.jpeg", "chest_xray/val/PNEUMONIA/person1946_bacteria_4874.jpeg")
    return draw("chest_xray/test/NORMAL/IM-0001-0001.jpeg", "chest_xray/test/PNEUMONIA/person1_virus_9.jpeg")


def test_kermanys_three_classes_stand_in_the_names_of_films(kermany: Path) -> None:
    table = read_kermany(kermany, "train", PNEUMONIA3.labels)
    assert table.labels.tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]
    expected = [
        "train/IM-0115",
        "train/NORMAL2-IM-0666",
        "train/person1",
        "train/person1",
        "train/person2",
        "train/person3",
    ]
    assert table.patients.tolist() == expected


def test_pneumonia_alone_is_either_kind(kermany: Path) -> None:
    assert read_part(kermany, "test", PNEUMONIA).labels.tolist() == [[0], [1]]


def test_kermanys_shared_numbers_are_counted_and_named(kermany: Path) -> None:
    unused, shared = read_data_set(kermany, PNEUMONIA3).official["test"].notes
    assert unused.startswith("The 2 films of Kermany's val/ are not used")
    assert shared.startswith("1 of Kermany's person numbers stand in more than one of train/, val/, test/ (1 of them")
    assert "person1 among them" in shared


def test_kermanys_validation_films_are_taken_from_train_by_patient(kermany: Path) -> None:
    films = read_data_set(kermany, PNEUMONIA3)
    train, validation = (films.part(part, val_share=0.4) for part in ("train", "validation"))
    assert len(train) + len(validation) == 6
    assert len(set(validation.patients)) == 2
    assert set(train.patients).isdisjoint(validation.patients)


def test_a_film_of_neither_kind_is_refused(kermany: Path, draw: Draw) -> None:
    draw("chest_xray/train/PNEUMONIA/person9_fungus_1.jpeg")
    with pytest.raises(TrainingDataError, match=r"person9_fungus_1\.jpeg in PNEUMONIA/ is neither"):
        read_data_set(kermany, PNEUMONIA3)


def test_a_label_that_kermany_lacks_is_refused(kermany: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"have no label COVID; they have bacterial, viral"):
        read_data_set(kermany, COVID3)


@pytest.fixture
def covid(draw: Draw) -> Path:
    """Internal and external films of three classes, with the patients of the COVID films in SOURCES.csv."""
    draw("internal/COVID/a_1.jpg", "internal/COVID/a_2.jpg", "internal/NORMAL/nih_00000013_005.jpg")
    draw("internal/PNEUMONIA/nih_00000013_007.jpg", "internal/PNEUMONIA/other.jpg")
    draw(*(f"external/{name}.jpg" for name in ("COVID/h_1", "NORMAL/nih_00000099_000", "PNEUMONIA/x")))
    sources = "file,source,patient\ninternal/COVID/a_1.jpg,a,a7\ninternal/COVID/a_2.jpg,a,a7\n"
    folder = draw()
    (folder / "SOURCES.csv").write_text(sources)
    return folder


def test_class_folders_are_named_by_the_task_never_by_their_order(covid: Path) -> None:
    table = read_data_set(covid, COVID3).official["all"]
    assert table.labels.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert [path.name for path in table.paths[2:4]] == ["nih_00000013_007.jpg", "other.jpg"]


def test_patients_of_class_folders_come_from_the_sources_or_the_name(covid: Path) -> None:
    assert read_data_set(covid, COVID3).official["all"].patients.tolist() == ["a7", "a7", "13", "other", "13"]
    assert read_data_set(covid / "internal", COVID3).official["all"].patients[0] == "a7"


def test_an_external_folder_is_tested_on_beside_a_fifth_of_the_internal_patients(covid: Path, draw: Draw) -> None:
    draw(*(f"internal/{kind}/{kind}{n}.jpg" for kind in ("COVID", "NORMAL", "PNEUMONIA") for n in range(20)))
    films = read_data_set(covid, COVID3)
    assert films.official.keys() == {"all", "external"}
    parts = [films.part(part) for part in PARTS]
    assert sum(len(part) for part in parts) == 65
    assert 5 <= len(parts[2]) <= 20
    assert {path.relative_to(covid).parts[0] for path in parts[2].paths} == {"internal"}
    assert len(films.external()) == 3
    assert len(read_data_set(covid / "external", COVID3).external()) == 3


def test_films_of_one_name_in_two_parts_are_told_how_to_be_named_apart(draw: Draw) -> None:
    folder = draw(*(f"{part}/{kind}/1.png" for part in ("train", "test") for kind in ("NORMAL", "PNEUMONIA")))
    with pytest.raises(TrainingDataError, match=r"patient 1 among them; .* write SOURCES\.csv with the columns file"):
        read_data_set(folder, PNEUMONIA)


def test_a_patient_in_the_internal_and_the_external_folder_is_an_error(covid: Path, draw: Draw) -> None:
    draw("external/NORMAL/nih_00000013_009.jpg")
    with pytest.raises(TrainingDataError, match="1 patients are in both lists, patient 13 among them"):
        read_data_set(covid, COVID3)


def test_masks_beside_the_films_are_no_films(draw: Draw) -> None:
    classes = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
    folder = draw(*(f"{name}/{kind}/{name}-1.png" for name in classes for kind in ("images", "masks")))
    task = Task("covid4", "", "", ("COVID", "Lung Opacity", "Normal", "Viral Pneumonia"), "multiclass")
    assert read_data_set(folder, task).external().labels.tolist() == np.eye(4).tolist()


def test_normal_films_need_no_label_of_their_own(draw: Draw) -> None:
    folder = draw("NORMAL/a.png", "PNEUMONIA/b.png")
    assert read_data_set(folder, PNEUMONIA).external().labels.tolist() == [[1], [0]]


def test_a_class_folder_that_does_not_fit_the_task_is_named(draw: Draw) -> None:
    with pytest.raises(
        TrainingDataError, match=r"has class folders covid, fracture, but .* Pneumonia, Normal, fracture"
    ):
        read_data_set(draw("COVID/a.png", "Fracture/b.png"), COVID3)


def test_films_without_a_split_are_split_by_patient_with_the_same_test_patients_always(draw: Draw) -> None:
    folder = draw(
        *(f"{name}/{kind}{film}.png" for name, kind in (("COVID", "c"), ("NORMAL", "n")) for film in range(10))
    )
    films = read_data_set(folder, Task("two", "", "", ("COVID", "Normal"), "multiclass"))
    parts = [[set(films.part(part, 0.25, seed).patients) for part in PARTS] for seed in (0, 1)]
    assert [[len(part) for part in of_seed] for of_seed in parts] == [[14, 4, 2], [14, 4, 2]]
    assert parts[0][2] == parts[1][2]
    assert parts[0][1] != parts[1][1]
    assert len(set.union(*parts[0])) == 20


@pytest.fixture
def own(draw: Draw) -> Path:
    folder = draw("a.png", "films/00000013_005.png", "c.png")
    rows = [
        "path,patient,Effusion,Mass,Hernia,sex,age,view",
        "a.png,p1,1,,1,F,40,AP",
        "films/00000013_005.png,,0,1.0,,,,",
    ]
    (folder / "films.csv").write_text("\n".join([*rows, "c.png,p3,0,0,0,M,,PA"]) + "\n")
    return folder


def test_a_csv_of_ones_own_is_read(own: Path) -> None:
    table = read_data_set(own, OWN).external()
    np.testing.assert_array_equal(table.labels, [[1, np.nan], [0, 1], [0, 0]])
    assert table.patients.tolist() == ["p1", "13", "p3"]
    assert (table.sex.tolist(), table.view.tolist()) == (["F", "", "M"], ["AP", "", "PA"])
    np.testing.assert_array_equal(table.age_years, [40, np.nan, np.nan])


def test_the_csv_itself_may_be_given_under_any_name(own: Path) -> None:
    file = (own / "films.csv").rename(own / "mine.csv")
    assert len(read_data_set(file, OWN).external()) == 3


def test_a_csv_may_name_the_parts(own: Path) -> None:
    rows = ["path,part,Effusion,Mass", "a.png,test,1,0", "c.png,train,0,1"]
    (own / "films.csv").write_text("\n".join(rows) + "\n")
    assert read_part(own, "test", OWN).paths == (own / "a.png",)
    assert read_data_set(own, OWN).official.keys() == {"test", "train"}


def test_unknown_label_columns_are_named(own: Path) -> None:
    (own / "films.csv").write_text("path,Effusion,Mass,Efusion,note\na.png,1,0,0,x\n")
    with pytest.raises(TrainingDataError, match="no label of any task: Efusion, note"):
        read_data_set(own, OWN)


def test_a_label_without_column_is_named(own: Path) -> None:
    (own / "films.csv").write_text("path,Effusion\na.png,1\n")
    with pytest.raises(TrainingDataError, match=r"films.csv has no label Mass, which the task predicts"):
        read_data_set(own, OWN)


def test_an_unknown_part_is_named(own: Path) -> None:
    (own / "films.csv").write_text("path,part,Effusion,Mass\na.png,dev,1,0\n")
    with pytest.raises(TrainingDataError, match="part 'dev' is none of train, validation, test"):
        read_data_set(own, OWN)


def test_a_film_of_two_classes_is_refused_in_a_multiclass_task(own: Path) -> None:
    (own / "films.csv").write_text("path,Effusion,Mass\na.png,1,1\nc.png,1,0\n")
    with pytest.raises(TrainingDataError, match=r"1 films have not exactly one class of Effusion, Mass, first a\.png"):
        read_data_set(own, Task("own", "", "", ("Effusion", "Mass"), "multiclass"))


def test_missing_films_stop_past_a_share_and_are_counted_below_it(own: Path) -> None:
    (own / "a.png").unlink()
    films = read_data_set(own, OWN)
    assert films.part("train", most_unreadable=0.4).missing == ("a.png",)
    with pytest.raises(
        TrainingDataError, match=r"1 of the 3 films of the all part are not in the folder, first a\.png"
    ):
        films.part("train")


def test_a_part_that_the_data_set_lacks_is_named(own: Path) -> None:
    (own / "films.csv").write_text("path,part,Effusion,Mass\na.png,train,1,0\n")
    with pytest.raises(TrainingDataError, match="has no test part; it has train"):
        read_part(own, "test", OWN)


@pytest.mark.parametrize(
    ("fixture", "layout"),
    [
        ("nih_folder", "nih"),
        ("chexpert", "chexpert"),
        ("kermany", "kermany"),
        ("covid", "class folders"),
        ("own", "csv"),
    ],
)
def test_a_layout_is_recognised(fixture: str, layout: str, request: pytest.FixtureRequest) -> None:
    assert detect(request.getfixturevalue(fixture)) == layout


def test_nihs_lists_are_its_parts(nih_folder: Path) -> None:
    films = read_data_set(nih_folder, OWN)
    assert [len(films.part(part, val_share=0.25)) for part in PARTS] == [12, 4, 8]


def test_a_wrong_folder_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"There is no Data_Entry_2017\*\.csv") as error:
        detect(tmp_path / "nothing")
    assert all(layout.signs in str(error.value) for layout in LAYOUTS.values())
