"""Why a film may not be read, or only with care: every reason with its code, which stays, and its text."""

from dataclasses import dataclass

REFUSE, WARN = "refuse", "warn"  # severities: no findings without a person's word; findings with a warning


@dataclass(frozen=True)
class Reason:
    """One reason against believing what is read in a film."""

    code: str  # one of REASONS
    severity: str  # REFUSE or WARN
    text: str  # what is wrong and what to do, for people


@dataclass(frozen=True)
class Kind:
    """What all reasons of one code have in common."""

    severity: str
    what: str  # with places for values
    remedy: str


REASONS = {
    "not_a_radiograph": Kind(
        REFUSE,
        "This does not look like a chest film; it may be a photograph, a CT, MR or ultrasound image, or a document.",
        "Send the frontal chest film itself.",
    ),
    "other_body_part": Kind(REFUSE, "Body Part Examined (0018,0015) is {value}.", "Send a frontal chest film."),
    "other_view": Kind(
        REFUSE, "View Position (0018,5101) is {value}: the film is {view}.", "Send the frontal film (PA or AP)."
    ),
    "inverted": Kind(
        REFUSE, "The grey scale is inverted: the lungs are bright.", "Invert the film, so that bone is white."
    ),
    "rotated": Kind(REFUSE, "The film is {turn}.", "Turn it upright."),
    "mirrored": Kind(
        WARN,
        "The film seems to be mirrored, with the heart on the wrong side.",
        "Compare it with its side marker; in rare patients the heart does lie there.",
    ),
    "cut_off": Kind(
        WARN, "Part of the lungs seems to be cut off.", "Nothing can be said about it; send the whole film."
    ),
    "too_dark": Kind(
        REFUSE,
        "The film is nearly black: its brightest parts have {share:.0%} of white.",
        "Export it with a window.",
    ),
    "flat": Kind(
        REFUSE, "The film has no contrast: its greys span {share:.0%} of the range.", "Export it with a window."
    ),
    "too_small": Kind(REFUSE, "The film has {columns} x {rows} pixels, too few to read.", "Send it at full size."),
    "too_young": Kind(
        REFUSE,
        "The patient is younger than those the model was made for ({audience}): {age}.",
        "Choose a model for that age.",
    ),
    "too_old": Kind(
        REFUSE,
        "The patient is older than those the model was made for ({audience}): {age}.",
        "Choose a model for that age.",
    ),
    "unlike_training": Kind(
        REFUSE,
        "The film is unlike those that the model was trained on (distance {distance:.1f}; 99 of 100 have less than 1).",
        "Make sure that it is a frontal chest film, upright, whole and well exposed.",
    ),
}


def because(code: str, **values: object) -> Reason:
    """The reason `code` with its values filled in."""
    kind = REASONS[code]
    return Reason(code, kind.severity, f"{kind.what.format(**values)} {kind.remedy}")
