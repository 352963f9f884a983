"""Does a file look like DICOM? Asked of every film, so it needs no DICOM package."""

PREAMBLE = 128
PREFIX = b"DICM"
EXPLICIT_VRS = {
    b"UL",
    b"UI",
    b"OB",
    b"CS",
    b"SH",
    b"LO",
    b"DA",
    b"TM",
    b"DT",
    b"PN",
    b"ST",
    b"LT",
    b"SQ",
    b"US",
    b"UN",
}


def is_dicom(data: bytes) -> bool:
    """Do the bytes begin like a DICOM file (PS3.10 7.1), or like a bare dataset, in group 2 or 8?"""
    return has_prefix(data) or _is_bare_dataset(data)


def has_prefix(data: bytes) -> bool:
    """Do preamble and prefix stand at the beginning?"""
    return data[PREAMBLE : PREAMBLE + 4] == PREFIX


def _is_bare_dataset(data: bytes) -> bool:
    """Early writers, and some PACS exports, leave out preamble and file meta."""
    if data[:2] == b"\x00\x08":
        return data[4:6] in EXPLICIT_VRS  # big endian
    if data[:2] not in (b"\x02\x00", b"\x08\x00") or data[3:4] != b"\x00":
        return False
    implicit_length = int.from_bytes(data[4:8], "little")
    return data[4:6] in EXPLICIT_VRS or (len(data) > 8 and implicit_length <= 64)
