"""One drawn film, and a drawn data set in the layout of NIH ChestX-ray14."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.phantom import draw_phantom

HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
FINDINGS = ("No Finding", "Effusion", "Mass|Nodule", "Cardiomegaly")
PATIENTS = 12
FILMS_EACH = 2


@pytest.fixture(scope="session")
def phantom() -> NDArray[np.float64]:
    """(96, 96), 0 to 255."""
    return np.round(draw_phantom(96, 96) * 255)


@pytest.fixture(scope="session")
def film(phantom: NDArray[np.float64]) -> bytes:
    """A film as PNG."""
    stream = io.BytesIO()
    Image.fromarray(phantom.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def nih_folder(phantom: NDArray[np.float64], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 films of 12 patients, one phantom ever darker; the last 4 patients are the test list."""
    folder = tmp_path_factory.mktemp("nih")
    (folder / "images").mkdir()
    names = [f"{patient:08d}_{film:03d}.png" for patient in range(PATIENTS) for film in range(FILMS_EACH)]
    rows = []
    for number, name in enumerate(names):
        Image.fromarray((phantom * (1 - number / 50)).astype(np.uint8)).save(folder / "images" / name)
        rows.append(f"{name},{FINDINGS[number % 4]},0,{int(name[:8])},50,M,PA\n")
    (folder / "Data_Entry_2017.csv").write_text(HEADER + "".join(rows))
    (folder / "train_val_list.txt").write_text("\n".join(names[:16]))
    (folder / "test_list.txt").write_text("\n".join(names[16:]))
    return folder


DrawFilms = Callable[..., Path]


@pytest.fixture(scope="session")
def draw_films(phantom: NDArray[np.float64]) -> DrawFilms:
    """Draws films at the given paths below a folder, each somewhat darker than the one before."""

    def draw(folder: Path, *names: str) -> Path:
        for number, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((phantom * (1 - number / len(names) / 2)).astype(np.uint8)).save(folder / name)
        return folder

    return draw
