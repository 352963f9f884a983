"""What a DICOM header says against a frontal chest film."""

from cxr.errors import UnreadableFilm
from cxr.films.film import Metadata, shown
from cxr.films.reasons import Reason, because

# Defined terms of Modality (0008,0060), PS3.3 C.7.3.1.1.1, under which chest films come: radiographs, scanned films
# and secondary captures. All others are something else: CT, MR, US, NM, PT, MG, SR, PR, ...
_FILM_MODALITIES = {None, "CR", "DX", "DR", "RG", "RF", "HC", "OT", "SC"}
# Body Part Examined (0018,0015), PS3.16 Annex L: what is certainly not a chest. Stations also write words of their own.
_OTHER_BODY_PARTS = """
    ABDOMEN ANKLE ARM BREAST CALCANEUS CLAVICLE COCCYX CSPINE ELBOW EXTREMITY FEMUR FIBULA FINGER FOOT FOREARM HAND
    HEAD HEEL HIP HUMERUS JAW KNEE LEG LSPINE MANDIBLE MAXILLA NECK NOSE ORBIT PATELLA PELVIS RADIUS SCAPULA SHOULDER
    SINUS SKULL SPINE SSPINE TEETH TIBIA TOE TSPINE ULNA WRIST ZYGOMA
"""
# View Position (0018,5101), PS3.3 C.8.1.2.1 and C.8.7.5: lateral and oblique. A decubitus film (LLD, RLD) is frontal.
_OTHER_VIEWS = {
    "LL": "lateral",
    "RL": "lateral",
    "LATERAL": "lateral",
    "LAT": "lateral",
    "LLO": "oblique",
    "RLO": "oblique",
}


def validate_modality(metadata: Metadata) -> None:
    """Raises UnreadableFilm for a modality that makes no radiographs: nothing in the file can be a film."""
    if metadata.modality not in _FILM_MODALITIES:
        raise UnreadableFilm(
            f"Modality (0008,0060) is {shown(metadata.modality or '')}, not a radiograph. "
            "Send a frontal chest film (CR or DX)."
        )


def header_reasons(metadata: Metadata) -> tuple[Reason, ...]:
    """Another body part or another view. Stations write wrong ones too, so a person may have the film read anyway."""
    reasons = []
    part, view = metadata.body_part, metadata.view_position
    if part in _OTHER_BODY_PARTS.split():
        reasons.append(because("other_body_part", value=shown(part or "")))
    if view in _OTHER_VIEWS:
        reasons.append(because("other_view", value=shown(view or ""), view=_OTHER_VIEWS[view or ""]))
    return tuple(reasons)
