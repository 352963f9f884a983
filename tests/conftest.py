"""What all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real films (`films/`, `nih/`, ...), which are never part of the project."""
    named = os.environ.get("CXR_TEST_DATA", "")
    if not named:
        pytest.skip("set CXR_TEST_DATA to a folder of real films to run this test")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"CXR_TEST_DATA names {named}, which is not a folder")
    return folder
