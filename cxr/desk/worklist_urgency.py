"""How urgent a film is: the largest product of a finding's weight and its strength, of the findings above.

The strength is the length of the finding's bar on the film's page: from 0.5 at its operating point up to 1. A film
without a reading may show anything, so it has a weight of its own.
"""

import json
import time
from collections.abc import Mapping
from typing import cast

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from cxr.desk.site_settings_rows import RANKED_WITH, set_value, value_of
from cxr.desk.tables import UNSYNCED, State, hold
from cxr.desk.worklist_tables import FindingAbove, WorklistRow

WEIGHTS = "urgency_weights"
NOT_READ = "not_read"  # the weight of films that wait, were refused or could not be read
RANKING = "ranking"  # lock: shared by who ranks a film by the weights in force, held alone by who ranks all by new ones
MOST = 10
ORDINARY = 3  # the weight of labels that are not named here
# How soon a person should look, by what each finding may mean on a chest film. A site sets its own.
DEFAULT_WEIGHTS: dict[str, int] = {
    NOT_READ: 2,
    "Pneumothorax": 10,
    "Edema": 7,
    "Consolidation": 6,
    "Pneumonia": 6,
    "pneumonia": 6,
    "bacterial": 6,
    "viral": 5,
    "viral_pneumonia": 5,
    "covid": 6,
    "Effusion": 5,
    "Pleural_Effusion": 5,
    "Mass": 6,
    "Lung_Lesion": 5,
    "Nodule": 4,
    "Enlarged_Cardiomediastinum": 4,
    "Support_Devices": 1,
    "Hernia": 1,
    "Pleural_Thickening": 1,
    "Fibrosis": 2,
}


def weights_in(session: Session) -> dict[str, int]:
    """The weights in force, of the transaction in which a film is ranked; they hold until it ends."""
    hold(session, RANKING, shared=True)
    return _weights(session)


def _weights(session: Session) -> dict[str, int]:
    return DEFAULT_WEIGHTS | cast("dict[str, int]", value_of(session, WEIGHTS) or {})


def urgency_of(state: State, strengths: Mapping[str, float], weights: Mapping[str, int]) -> float:
    """Of one film whose findings above have these strengths, by label; `_rank` computes the same of all."""
    if state != State.READ:
        return float(weights[NOT_READ])
    return max((strength * weights.get(label, ORDINARY) for label, strength in strengths.items()), default=0.0)


def _rank(session: Session, weights: Mapping[str, int]) -> None:
    """Compute the urgency of all films: one statement."""
    weight = case(weights, value=FindingAbove.label, else_=ORDINARY)
    strongest = select(func.max(FindingAbove.strength * weight)).where(FindingAbove.film_id == WorklistRow.film_id)
    unread = WorklistRow.state != State.READ
    read = func.coalesce(strongest.scalar_subquery(), 0.0)
    change = update(WorklistRow).values(urgency=case((unread, float(weights[NOT_READ])), else_=read))
    session.execute(change, execution_options=UNSYNCED)


def rank_all(session: Session) -> bool:
    """Compute all urgencies anew where the weights are not those that they have; whether that was so.

    The caller holds the lock under which weights change.
    """
    weights = _weights(session)
    if _same(value_of(session, RANKED_WITH), weights):
        return False
    hold(session, RANKING)  # a film that is finished meanwhile would keep its rank by the old ones
    _rank(session, weights)
    set_value(session, RANKED_WITH, weights, time.time())
    return True


def _same(ranked_with: Mapping[str, int] | None, weights: Mapping[str, int]) -> bool:
    return json.dumps(ranked_with, sort_keys=True) == json.dumps(weights, sort_keys=True)
