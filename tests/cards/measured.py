"""A measurement of a model of `pneumonia3`, written out."""

import dataclasses

from cxr.cards.card import Card
from cxr.cards.measured import (
    BoxResult,
    Control,
    DarkMaps,
    Errors,
    GroupResult,
    LabelAtPoint,
    LabelReliability,
    LabelResult,
    Measured,
    PointSet,
    Population,
    RatesAtPoint,
    Reliability,
    Result,
    Subject,
)
from cxr.metrics import Interval
from cxr.uncertainty import IntervalBin

NAN = float("nan")
SHA = "ab" * 32
GOOD, POOR, NONE = Interval(0.9, 0.85, 0.95), Interval(0.55, 0.45, 0.65), Interval(NAN, NAN, NAN)
BIN = IntervalBin(4, 0.2, 0.1, 0.3, 0.25, 0.05, 0.7, True, True)
MACRO = RatesAtPoint(GOOD, GOOD, GOOD, POOR)

RESULT = Result(
    name="test",
    kind="multiclass",
    films=40,
    patients=20,
    mean_auroc=Interval(0.725, 0.7, 0.75),
    mean_average_precision=GOOD,
    labels=(
        LabelResult("bacterial", 10, 30, GOOD, GOOD),
        LabelResult("viral", 10, 30, POOR, POOR),
        LabelResult("normal", 0, 40, NONE, NONE),
    ),
    decisions=(PointSet("youden", (LabelAtPoint("viral", 0.2, RatesAtPoint(GOOD, POOR, NONE)),), GOOD, MACRO),),
    subgroups=(GroupResult("sex", "F", 12, 6, POOR, 2),),
    localisation=(
        BoxResult("all", 9, Interval(0.12, 0.05, 0.2), Interval(0.2, 0.1, 0.3), Interval(-0.08, -0.2, 0.04)),
    ),
)
MEASURED = Measured(
    date="2026-11-21",
    task="pneumonia3",
    subject=Subject(SHA),
    about={"Data": "kermany"},
    layout="kermany",
    evaluations=(RESULT,),
    reliability=(
        Reliability(
            "held-out validation patients", 4, 4,
            (LabelReliability("viral", 4, 1, Errors(0.2, 0.3), Errors(0.05, 0.1), POOR, (BIN,)),),
            Errors(0.2, 0.3), Errors(0.05, 0.1),
        ),
    ),
    populations=(
        Population("training", 100, 50, {"viral": 25}, {"sex": {"F": 40, "not known": 60}, "view": {}}, "0" * 64),
        Population("test", 40, 20, {"viral": 10}, {"sex": {"F": 12, "M": 28}, "view": {"not known": 40}}, "1" * 64),
    ),
    controls=(Control("test", 40, 20, Interval(0.81, 0.8, 0.82), Interval(0.66, 0.6, 0.7)),),
    dark_maps=(DarkMaps("viral", 10, 6), DarkMaps("bacterial", 10, 5)),
)  # fmt: skip
CARD = Card("tiny pneumonia3", SHA, MEASURED)


def card_for(sha256: str) -> Card:
    return dataclasses.replace(CARD, sha256=sha256)
