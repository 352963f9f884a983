"""What the database knows of heat-map files: which are owed, and which belong to deleted films."""

import time

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import joinedload

from cxr.desk.tables import DiscardedHeatmaps, FilmRow, State, reading, writing

MOST_AT_ONCE = 20
KEPT_S = 3600  # a process may write to the folder of a deleted film for a while, so it stays listed


def without_heatmaps(engine: Engine) -> list[FilmRow]:
    """Films that were read and whose heat-map files are wanted but not written yet."""
    owed = FilmRow.gradcam != "", ~FilmRow.gradcam_written, FilmRow.state == State.READ, FilmRow.report.has()
    wanted = select(FilmRow).where(*owed)
    with reading(engine) as session:
        return list(session.scalars(wanted.options(joinedload(FilmRow.report).undefer("*")).limit(MOST_AT_ONCE)))


def heatmaps_written(engine: Engine, film_id: str) -> bool:
    """False when the film was deleted meanwhile: then the files must go too."""
    written = update(FilmRow).where(FilmRow.id == film_id).values(gradcam_written=True).returning(FilmRow.id)
    with writing(engine, ()) as session:
        return session.execute(written).first() is not None


def discarded_heatmaps(engine: Engine) -> list[str]:
    """Heat-map folders of deleted films of this desk. Others in static/gradcam may be another desk's."""
    with reading(engine) as session:
        return list(session.scalars(select(DiscardedHeatmaps.gradcam)))


def forget_heatmaps(engine: Engine, gone: list[str]) -> None:
    """Unlist folders that are gone, once nobody can still be writing to them."""
    old = DiscardedHeatmaps.discarded_at < time.time() - KEPT_S
    with writing(engine, ()) as session:
        session.execute(delete(DiscardedHeatmaps).where(DiscardedHeatmaps.gradcam.in_(gone), old))
