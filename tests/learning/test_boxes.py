"""Boxes of the NIH list, and films looked at from their files."""

from pathlib import Path

import numpy as np
import torch

from cxr.films.prepare import prepare
from cxr.films.read import read_film
from cxr.learning.boxes import read_nih_boxes
from cxr.learning.calibration import calibrate
from cxr.learning.ensemble import Ensemble
from cxr.learning.looking import read_and_look
from cxr.learning.tables import FilmTable
from tests.learning.nets import tiny_checkpoint
from tests.phantom import phantom_png

HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


def _table(*paths: Path) -> FilmTable:
    patients = np.array([str(number) for number in range(len(paths))])
    return FilmTable(("Mass", "Infiltration"), paths, np.zeros((len(paths), 2), np.float32), patients)


def test_boxes_are_shares_of_the_film_and_belong_to_rows_of_the_table(tmp_path: Path) -> None:
    rows = "b.png,Infiltrate,512,256,128,64,,,\nz.png,Mass,0,0,1,1,,,\na.png,Cough,0,0,1,1,,,\n"
    (tmp_path / "BBox_List_2017.csv").write_text(HEADER + rows)
    boxes = read_nih_boxes(tmp_path, _table(Path("a.jpg"), Path("b.jpg")), ("Mass", "Infiltration"))
    assert boxes is not None
    assert boxes.rows.tolist() == [1]
    assert boxes.labels.tolist() == ["Infiltration"]
    assert boxes.boxes.tolist() == [[0.5, 0.25, 0.125, 0.0625]]


def test_a_data_set_without_boxes_has_none(tmp_path: Path) -> None:
    assert read_nih_boxes(tmp_path, _table(Path("a.jpg")), ("Mass",)) is None


def test_a_film_that_cannot_be_read_is_left_out_and_no_other_takes_its_place(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.png", tmp_path / "broken.png"
    whole.write_bytes(phantom_png(side=96))
    broken.write_bytes(whole.read_bytes()[:500])
    net = Ensemble([tiny_checkpoint()])
    table, seen = read_and_look(net, _table(broken, whole, broken), "films", most_unreadable=0.7)
    assert table.paths == (whole,)
    x, _ = prepare(read_film(whole).pixels, net.preprocessing)
    np.testing.assert_allclose(seen.logits, net(torch.from_numpy(x)).logits.detach().numpy(), atol=1e-6)
    assert seen.maps.shape == (1, 8, 2, 2)


def test_calibration_says_on_how_many_positive_films_a_point_was_found() -> None:
    random = np.random.default_rng(0)
    truth = np.tile([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], (20, 1)).astype(np.float32)
    fitted = calibrate(truth * 2 + random.normal(size=truth.shape).astype(np.float32), truth, ("Mass", "Nodule"))
    assert [fitted.operating_points["youden"][label].positives for label in ("Mass", "Nodule")] == [20, 40]
    assert fitted.probabilities(np.zeros((3, 2), np.float32)).shape == (3, 2)
