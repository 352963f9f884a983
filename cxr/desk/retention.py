"""Films that are older than a site keeps them are deleted, with all that was made of them."""

import time
from contextlib import suppress

from cxr.desk.audit import DESK, Entry
from cxr.desk.heatmap_files import HeatmapFolder
from cxr.desk.store import Store
from cxr.errors import Conflict, NotFound

DAY_S = 86_400


def expired(store: Store, keep_days: int) -> list[str]:
    """The films taken in more than `keep_days` ago, oldest first; none with 0, which keeps them for ever."""
    return store.older_than(time.time() - keep_days * DAY_S) if keep_days else []


def expire(store: Store, heatmaps: HeatmapFolder, keep_days: int, person: str = DESK) -> list[str]:
    """Delete the expired films, but for those that are being read; the ids of the deleted."""
    gone = []
    for film_id in expired(store, keep_days):
        with suppress(NotFound, Conflict):  # somebody else deleted it meanwhile, or reads it now
            heatmaps.delete(store.delete(Entry(person, "expire", film_id), spare_reading=True).gradcam)
            gone.append(film_id)
    if gone:
        store.scrub()
    return gone
