"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled models of the tests, and of the processes that they start, go with the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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
