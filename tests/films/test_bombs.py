"""What a small file may cost: each bomb is read in a process of its own, whose peak memory is measured."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.films.bombs import BOMBS

# Outcome and the most MiB that reading may take. An honest film of 64 megapixels takes 400.
EXPECTED = {
    "png_of_60000_pixels": ("TooLarge: The film is 60000 x 60000 pixels; the limit is 64 megapixels.", 20),
    "png_that_inflates_beyond_its_size": ("(64, 64)", 20),
    "png_with_inflating_text": ("(64, 64)", 20),
    "jpeg_of_65500_pixels": ("TooLarge: The film is 65500 x 65500 pixels", 20),
    "deflated_dicom": ("TooLarge: The deflated DICOM file unpacks to more than 256 MiB.", 320),
    "dicom_of_60000_pixels": ("TooLarge: The film is 60000 x 60000 pixels", 20),
    "jpeg_2000_larger_than_its_header": ("UnreadableFilm: The compressed image has 60000 x 60000 pixels", 20),
    "jpeg_2000_of_zeros": ("(4000, 4000)", 250),
    "dicom_with_two_million_items": ("UnreadableFilm: The DICOM file is truncated or damaged.", 100),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, of Linux")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_defused_within_bounded_memory(name):
    outcome, most_mib = EXPECTED[name]
    command = [sys.executable, "-m", "tests.films.bombs"]
    done = subprocess.run(command, input=BOMBS[name](), capture_output=True, check=True, timeout=120)
    grown_mib, printed = done.stdout.decode().split(" ", 1)
    assert printed.startswith(outcome)
    assert int(grown_mib) < most_mib
    assert b"Traceback" not in done.stderr
