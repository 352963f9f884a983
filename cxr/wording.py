"""What a finding's name means, and what a model cannot see, in words for people."""

from collections.abc import Collection

MEANINGS = {  # by label, of every task
    "Atelectasis": "a part of a lung without air, so smaller and denser",
    "Cardiomegaly": "a heart wider than half of the chest",
    "Effusion": "fluid between lung and chest wall",
    "Infiltration": "a hazy density in the lung; an old word for several causes",
    "Mass": "a round density of more than 3 cm",
    "Nodule": "a round density of at most 3 cm",
    "Pneumonia": "an inflamed, mostly infected part of a lung",
    "Pneumothorax": "air between lung and chest wall",
    "Consolidation": "air spaces of the lung filled with fluid or cells",
    "Edema": "too much fluid in the tissue of the lungs",
    "Emphysema": "destroyed air sacs, so lungs too large and too dark",
    "Fibrosis": "scars in the tissue of the lung",
    "Pleural_Thickening": "a thickened lining of lung and chest wall",
    "Hernia": "bowel or stomach above the diaphragm",
    "No_Finding": "none of the other observations",
    "Enlarged_Cardiomediastinum": "heart and great vessels wider than expected",
    "Lung_Opacity": "any density in the lung that should not be there",
    "Lung_Lesion": "a nodule or a mass in the lung",
    "Pleural_Effusion": "fluid between lung and chest wall",
    "Pleural_Other": "another change of the lining of the lung",
    "Fracture": "a broken bone, mostly a rib or a collar bone",
    "Support_Devices": "tubes, lines, pacemakers and the like",
    "bacterial": "a pneumonia by bacteria, often dense in one lobe",
    "viral": "a pneumonia by a virus, often hazy in both lungs",
    "normal": "none of the model’s other answers",
    "pneumonia": "an inflamed, mostly infected part of a lung",
    "covid": "a pneumonia by SARS-CoV-2",
    "lung_opacity": "a density in the lung by another infection",
    "viral_pneumonia": "a pneumonia by a virus other than SARS-CoV-2",
}

# What people would look for on any film, by the labels that stand for it.
_LOOKED_FOR: tuple[tuple[str, set[str]], ...] = (
    ("fractures", {"Fracture"}),
    ("tubes, lines and other devices", {"Support_Devices"}),
    ("air between lung and chest wall", {"Pneumothorax"}),
    ("nodules and masses", {"Nodule", "Mass", "Lung_Lesion"}),
    ("tuberculosis", set()),
    ("free air below the diaphragm", set()),
)


def meaning_of(label: str) -> str:
    """In a few words; empty for a label of no task of this project."""
    return MEANINGS.get(label, "")


def blind_spots(labels: Collection[str], audience: str, kind: str) -> list[str]:
    """What a model of these `labels`, trained on films of the `audience`, cannot see: a sentence each."""
    unseen = ", ".join(name for name, known in _LOOKED_FOR if not known & set(labels))
    always = f"It always gives one of its {len(labels)} answers, also where none is right. "
    return [
        (always if kind == "multiclass" else "")
        + f"It was not trained for {unseen}, or anything else not listed above.",
        f"It knows films of {audience}. For other patients, and for lateral views, its figures do not hold.",
        "It sees this one film: no earlier film, no history, no patient.",
    ]
