"""The bytes of a DICOM file -> its elements, with bounds on what a damaged or hostile file may cost."""

import io
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from cxr.errors import CxrError, NotAFilm, TooLarge, UnreadableFilm
from cxr.films.dicomsigns import EXPLICIT_VRS, PREAMBLE, PREFIX, has_prefix, is_dicom
from cxr.films.film import Limits
from cxr.films.pixeldata import BIG_ENDIAN, DEFLATED, LITTLE_ENDIAN, LITTLE_ENDIAN_IMPLICIT
from cxr.settings import MIB, variable

_PART_BYTES = 16 * MIB
MAX_READS = 200_000  # a film's header has a few hundred elements; each takes up to five reads

# All that is ever looked at; the rest of a header, where most of the surprises are, is skipped over.
KEYWORDS = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID StudyDate AccessionNumber Modality
    PatientName PatientID PatientSex PatientAge BodyPartExamined ViewPosition
    ImagerPixelSpacing PixelSpacing PixelSpacingCalibrationType
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
    ModalityLUTSequence RescaleIntercept RescaleSlope VOILUTSequence WindowCenter WindowWidth VOILUTFunction
    PresentationIntentType PresentationLUTShape PixelData
    RedPaletteColorLookupTableDescriptor RedPaletteColorLookupTableData
    GreenPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableData
    BluePaletteColorLookupTableDescriptor BluePaletteColorLookupTableData
"""


@dataclass(frozen=True)
class DicomFile:
    """The elements of a DICOM file that are looked at, and how they were encoded."""

    dataset: Dataset
    transfer_syntax: str


def parse_dicom(data: bytes, limits: Limits) -> DicomFile:
    """The elements of a DICOM file, its pixels still encoded.

    Raises:
        NotAFilm: not a DICOM file.
        TooLarge: the file, or what it inflates to, is beyond the limits.
        UnreadableFilm: damaged.
    """
    limits.validate_file(len(data))
    if not is_dicom(data):
        raise NotAFilm("The file is not a DICOM file. Send the film as PNG, JPEG or DICOM.")
    with damage_is_unreadable():
        return _parse(data, limits)


@contextmanager
def damage_is_unreadable() -> Iterator[None]:
    """Whatever pydicom and the decoders raise becomes UnreadableFilm, and pydicom's warnings stay inside.

    No memory, no processes, no file handles: these are the machine's faults, and go on as MemoryError and OSError.
    """
    try:
        with _PYDICOM_QUIET:
            yield
    except (CxrError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system; pydicom's own have no number
            raise
        raise UnreadableFilm("The DICOM file is truncated or damaged. Export or send it again.") from error


def _parse(data: bytes, limits: Limits) -> DicomFile:
    start = PREAMBLE + len(PREFIX) if has_prefix(data) else 0
    stream = _MeteredBytes(data)
    stream.seek(start)
    meta = read_dataset(stream, False, True, stop_when=_after_file_meta)
    syntax = str(meta.get("TransferSyntaxUID") or "") or _guess_transfer_syntax(data[stream.tell() : stream.tell() + 8])
    if syntax == DEFLATED:
        stream = _MeteredBytes(_inflate(data[stream.tell() :], limits))
    tags: list[BaseTag | int] = [tag for tag in map(tag_for_keyword, KEYWORDS.split()) if tag is not None]
    # pydicom itself reads implicit VR where explicit was promised, and the other way.
    dataset = read_dataset(stream, syntax == LITTLE_ENDIAN_IMPLICIT, syntax != BIG_ENDIAN, specific_tags=tags)
    if "MediaStorageSOPClassUID" in meta:
        dataset[0x00020002] = meta[0x00020002]
    return DicomFile(dataset, syntax)


def _after_file_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag >> 16 != 2


def _guess_transfer_syntax(element: bytes) -> str:
    if element[4:6] not in EXPLICIT_VRS:
        return LITTLE_ENDIAN_IMPLICIT  # the default of PS3.5 10.1
    return BIG_ENDIAN if element[:1] == b"\x00" else LITTLE_ENDIAN


def _inflate(deflated: bytes, limits: Limits) -> bytes:
    """PS3.5 A.5. Inflated here and not by pydicom, which has no limit: 300 KB can become 700 MB."""
    inflater, parts, inflated_bytes = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    while not inflater.eof:
        part = inflater.decompress(deflated, _PART_BYTES)
        if not part and not inflater.unconsumed_tail:
            raise UnreadableFilm("The deflated DICOM file was cut short. Send it again.")
        deflated = inflater.unconsumed_tail
        parts.append(part)
        inflated_bytes += len(part)
        if inflated_bytes > limits.max_inflated_bytes:
            raise TooLarge(
                f"The deflated DICOM file unpacks to more than {limits.max_inflated_bytes / MIB:g} MiB. "
                f"Send it uncompressed, or raise {variable('max_inflated_bytes')}."
            )
    return b"".join(parts)


class _MeteredBytes(io.BytesIO):
    """Ends after `MAX_READS`: nested empty items cost a file eight bytes each and the reader kilobytes."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise UnreadableFilm("The DICOM header has too many elements for a film. Export the film again.")
        return super().read(size)


class _QuietPydicom:
    """Keeps pydicom's warnings about odd values back while any thread reads a film, and no longer.

    `warnings.catch_warnings` alone restores the wrong filters when threads overlap: the first in, not the first out,
    must be the one to save them, and the last out the one to restore them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._saved = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._saved.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"pydicom\b")
            self._readers += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._saved.close()


_PYDICOM_QUIET = _QuietPydicom()
