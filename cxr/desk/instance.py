"""Where an instance stands: its folder, its database, and the files beside the program."""

import dataclasses
from pathlib import Path

from sqlalchemy import URL

from cxr.desk.store import Store
from cxr.errors import SettingError
from cxr.settings import Settings

ROOT = Path(__file__).parents[2]  # where templates/ and static/ stand
HEATMAPS = ROOT / "static" / "gradcam"
DATABASE = "desk.sqlite3"


def resolve(settings: Settings) -> Settings:
    """With the instance folder as an absolute path, wherever the command was called from."""
    return dataclasses.replace(settings, instance_path=str(ROOT / settings.instance_path))


def open_store(settings: Settings, *, adopt: bool = False) -> Store:
    """The films of the instance. `settings` as `resolve` gives them; `adopt`: also if the storage was another's.

    Raises:
        SettingError: the folder cannot be made, the database not opened, films not be stored, or the storage is another
            database's.
    """
    instance = Path(settings.instance_path)
    make_folder(instance)
    url = settings.database_url or URL.create("sqlite", database=str(instance / DATABASE))
    return Store(url, instance, settings.storage_url, adopt=adopt)


def make_folder(instance: Path) -> None:
    """Its owner alone may look into it. Raises SettingError."""
    try:
        instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"CXR_INSTANCE_PATH: the folder cannot be made ({error.strerror}); name another.") from error
