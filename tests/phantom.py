"""A drawn chest film: what the tests and the pictures of the README read, since real films are never committed.

`draw_phantom` adds up what the rays pass through (soft tissue, air, bone) as drawn shapes and turns the sum into
film grey; `phantom_png`, `phantom_jpeg` and `phantom_dicom` wrap it as a file.
"""

import io
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CANVAS = 1024  # the shapes are drawn at this side, then resized: a phantom of any size costs about the same

# Outlines in fractions of the film (x, y), for the side drawn on the left of the film; the other side is mirrored.
LUNG = [
    (0.40, 0.13),
    (0.33, 0.14),
    (0.26, 0.20),
    (0.205, 0.31),
    (0.165, 0.45),
    (0.135, 0.60),
    (0.115, 0.74),
    (0.105, 0.83),
]
DOME = [(0.16, 0.775), (0.23, 0.725), (0.31, 0.715), (0.38, 0.745), (0.425, 0.785)]
LUNG_MIDDLE = [(0.435, 0.70), (0.44, 0.55), (0.435, 0.42), (0.445, 0.30), (0.44, 0.20), (0.43, 0.15)]
BODY = [
    (0.40, -0.05),
    (0.39, 0.05),
    (0.33, 0.085),
    (0.17, 0.12),
    (0.04, 0.19),
    (-0.05, 0.27),
    (-0.05, 0.44),
    (0.035, 0.50),
]
BODY_BELOW = [(0.045, 0.70), (0.035, 0.90), (0.03, 1.05)]
HEART = [
    (0.46, 0.40),
    (0.52, 0.40),
    (0.575, 0.455),
    (0.60, 0.52),
    (0.655, 0.60),
    (0.695, 0.69),
    (0.70, 0.76),
    (0.65, 0.80),
]
HEART_RIGHT = [(0.50, 0.82), (0.42, 0.79), (0.395, 0.72), (0.395, 0.64), (0.41, 0.56), (0.44, 0.48)]
MEDIASTINUM = [(0.445, -0.05), (0.44, 0.20), (0.425, 0.30), (0.43, 0.45), (0.44, 0.60), (0.43, 1.05)]
MEDIASTINUM_LEFT = [
    (0.57, 1.05),
    (0.56, 0.60),
    (0.565, 0.45),
    (0.57, 0.36),
    (0.595, 0.315),
    (0.575, 0.265),
    (0.56, 0.20),
    (0.555, -0.05),
]
CLAVICLE = [(0.455, 0.205), (0.40, 0.185), (0.33, 0.165), (0.25, 0.150), (0.17, 0.125), (0.09, 0.115)]
SCAPULA = [(0.10, 0.19), (0.155, 0.25), (0.165, 0.36), (0.130, 0.50)]
RIBS = range(9)


def draw_phantom(height: int, width: int, seed: int = 0, *, nodule: bool = False) -> NDArray[np.float32]:
    """Frontal chest phantom, (height, width) float32 in [0, 1], dense bone white.

    `seed` changes the vessels and the noise; `nodule` adds a round density in the right lung (left on the film).
    """
    scale = max(height, width) / CANVAS
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    film = cv2.resize(_draw_canvas(seed, nodule), (width, height), interpolation=method)
    noise = np.random.default_rng(seed).standard_normal((height, width), np.float32)
    return np.clip(film + 0.008 * noise, 0.0, 1.0).astype(np.float32)


def phantom_png(side: int = 512, bits: int = 8, seed: int = 0) -> bytes:
    """PNG of a square phantom, grey, 8 or 16 bits."""
    grey = np.round(draw_phantom(side, side, seed) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    return _save(Image.fromarray(grey), "PNG")


def phantom_jpeg(side: int = 512, quality: int = 90, seed: int = 0, mode: str = "L") -> bytes:
    """JPEG of a square phantom, grey ("L") or colour ("RGB")."""
    grey = np.round(draw_phantom(side, side, seed) * 255).astype(np.uint8)
    return _save(Image.fromarray(grey).convert(mode), "JPEG", quality=quality)


def phantom_dicom(height: int = 512, width: int = 512, bits: int = 12, seed: int = 0, **elements: Any) -> bytes:
    """Computed-radiography DICOM file of a phantom, explicit little endian, window over the full range.

    Keywords set or replace elements by their DICOM name (`Modality="CT"`, `PatientID="7"`); None deletes one.
    """
    return to_bytes(phantom_dataset(height, width, bits, seed, **elements))


def phantom_dataset(height: int = 512, width: int = 512, bits: int = 12, seed: int = 0, **elements: Any) -> FileDataset:
    """The dataset that `phantom_dicom` writes, for tests that change more than elements."""
    stored = np.round(draw_phantom(height, width, seed) * (2**bits - 1)).astype("<u2" if bits > 8 else np.uint8)
    return dicom_dataset(stored, bits, **elements)


def dicom_dataset(stored: NDArray[Any], bits: int, **elements: Any) -> FileDataset:
    """A complete CR dataset around stored grey values (H, W); keywords as in `phantom_dicom`."""
    dataset = FileDataset("", Dataset(), file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    dataset.update(_describe_image(stored, bits))
    dataset.update(_describe_patient())
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            # A header of the real world holds values that the standard does not allow: they are written as given.
            dataset[name] = DataElement(name, dictionary_VR(name), value, validation_mode=pydicom.config.IGNORE)
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    dataset["PixelData"].VR = "OW" if stored.itemsize > 1 else "OB"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def to_bytes(dataset: Dataset) -> bytes:
    """A dataset with file meta as the bytes of a DICOM file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _describe_image(stored: NDArray[Any], bits: int) -> Dataset:
    image = Dataset()
    image.Rows, image.Columns = stored.shape[:2]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated = 8 * stored.itemsize
    image.BitsStored, image.HighBit = bits, bits - 1
    image.PixelRepresentation = int(stored.dtype.kind == "i")
    image.WindowCenter, image.WindowWidth = 2 ** (bits - 1), 2**bits
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = 0, 1, "US"
    image.ImagerPixelSpacing = [0.143, 0.143]
    return image


def _describe_patient() -> Dataset:
    patient = Dataset()
    patient.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"  # Computed Radiography Image Storage
    patient.SOPInstanceUID = generate_uid(prefix=None)
    patient.StudyInstanceUID = generate_uid(prefix=None)
    patient.SeriesInstanceUID = generate_uid(prefix=None)
    patient.StudyDate = "20200102"
    patient.AccessionNumber = "A1"
    patient.Modality = "CR"
    patient.PatientName = "Phantom^Drawn"
    patient.PatientID = "PHANTOM"
    patient.PatientSex = "F"
    patient.PatientAge = "045Y"
    patient.BodyPartExamined = "CHEST"
    patient.ViewPosition = "PA"
    patient.InstanceNumber = 1
    return patient


@lru_cache(maxsize=4)
def _draw_canvas(seed: int, nodule: bool) -> NDArray[np.float32]:
    """Film grey without noise, (CANVAS, CANVAS) float32: each line adds what the rays meet there."""
    rng = np.random.default_rng(seed)
    body = _soft(_fill(BODY + BODY_BELOW + _mirror((BODY + BODY_BELOW)[::-1])), 6)
    lungs = _draw_lungs()
    middle = _soft(_fill(MEDIASTINUM + MEDIASTINUM_LEFT), 5)
    heart = _soft(_fill(HEART + HEART_RIGHT), 6)
    abdomen = _soft(_below_domes(), 4)
    density = 0.50 * body + 0.19 * _soft(body, 60) - 0.52 * lungs * (1 - 0.55 * np.maximum(middle, heart))
    density += 0.08 * middle + 0.12 * heart + 0.12 * abdomen * body + 0.05 * _draw_spine()
    density += (
        _draw_bones() * body * (1 - 0.65 * middle)
        + 0.13 * _draw_vessels(rng) * lungs
        - 0.13 * _draw_airway()
        - 0.20 * _draw_stomach()
    )
    if nodule:
        density += 0.16 * _soft(_disc((0.255, 0.43), 0.022), 4)
    film = np.clip(density, 0.0, 1.0) + 0.015 * _soft(rng.standard_normal((CANVAS, CANVAS)), 40) * 40
    return np.clip(np.maximum(0.03 + 0.93 * film, _draw_marker()), 0.0, 1.0).astype(np.float32)


def _draw_lungs() -> NDArray[np.float32]:
    """Air on the way of the rays, 0 to 1: most in the middle of each lung, where the lung is deepest."""
    outline = LUNG + DOME + LUNG_MIDDLE
    both = np.maximum(_fill(outline), _fill(_mirror([(x, y + 0.02 * (y > 0.7)) for x, y in outline])))
    depth = cv2.distanceTransform((both > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / (0.09 * CANVAS)
    return _soft(both * (0.55 + 0.45 * np.sqrt(np.minimum(depth, 1.0))), 4)


def _below_domes() -> NDArray[np.float32]:
    line = [(0.09, 0.84), *DOME, (0.46, 0.80)]
    return _fill(
        [
            *line,
            *[(x, y + 0.02) for x, y in _mirror(line[::-1])],
            (1.05, 0.9),
            (1.05, 1.05),
            (-0.05, 1.05),
            (-0.05, 0.9),
        ]
    )


def _draw_spine() -> NDArray[np.float32]:
    """Vertebral bodies with darker discs between them, and the spinous processes."""
    spine = np.zeros((CANVAS, CANVAS), np.float32)
    for y in np.arange(0.0, 1.0, 0.062):
        spine = np.maximum(
            spine,
            _fill(
                [(0.462, y), (0.538, y), (0.532, y + 0.025), (0.538, y + 0.05), (0.462, y + 0.05), (0.468, y + 0.025)]
            ),
        )
        spine += 0.5 * _disc((0.5, y + 0.045), 0.008)
    return _soft(spine, 4)


def _draw_bones() -> NDArray[np.float32]:
    bones = np.zeros((CANVAS, CANVAS), np.float32)
    for rib in RIBS:
        for outline in (_posterior_rib(rib), _mirror(_posterior_rib(rib))):
            bones += 0.13 * _draw_bone(outline, 0.021)
        for outline in (_anterior_rib(rib), _mirror(_anterior_rib(rib))):
            bones += 0.06 * _draw_bone(outline, 0.024)
    for outline in (CLAVICLE, _mirror(CLAVICLE)):
        bones += 0.15 * _draw_bone(outline, 0.026)
    for outline in (SCAPULA, _mirror(SCAPULA)):
        bones += 0.10 * _draw_bone(outline, 0.010)
    return bones


def _posterior_rib(number: int) -> list[tuple[float, float]]:
    """From the spine up and out, then down along the chest wall."""
    y = 0.135 + 0.066 * number
    reach = (0.20, 0.27, 0.30, 0.325, 0.345, 0.36, 0.375, 0.385, 0.39)[number]
    drop = 0.07 + 0.012 * number
    steps = ((0.04, 0.0), (0.25, -0.018), (0.5, 0.0), (0.75, 0.35 * drop), (0.92, 0.75 * drop), (1.0, 1.25 * drop))
    return [(0.5 - reach * along, y + down) for along, down in steps]


def _anterior_rib(number: int) -> list[tuple[float, float]]:
    """From the chest wall down and inwards, fading where cartilage begins."""
    x, y = _posterior_rib(number)[-1]
    return [(x, y), (x + 0.025, y + 0.045), (x + 0.08, y + 0.085), (x + 0.14, y + 0.11)]


def _draw_bone(outline: list[tuple[float, float]], thickness: float) -> NDArray[np.float32]:
    """A tube seen from the side: its cortex, on the rim, is denser than its marrow."""
    whole = _stroke(outline, thickness)
    marrow = _stroke(outline, 0.72 * thickness)
    return _soft(whole - 0.45 * marrow, 2)


def _draw_vessels(rng: np.random.Generator) -> NDArray[np.float32]:
    """Pulmonary vessels: from each hilum outwards, thinner at every fork."""
    vessels = np.zeros((CANVAS, CANVAS), np.float32)
    for hilum, outward in (((0.425, 0.47), np.pi), ((0.585, 0.455), 0.0)):
        vessels = np.maximum(vessels, _soft(_disc(hilum, 0.026), 14) * 1.3)
        for angle in np.linspace(-1.25, 1.25, 6):
            _grow(vessels, hilum, outward + angle + rng.normal(0, 0.1), 0.075, 9.0, rng)
    return _soft(vessels, 2.5)


def _grow(
    vessels: NDArray[np.float32],
    start: tuple[float, float],
    angle: float,
    length: float,
    thickness: float,
    rng: np.random.Generator,
) -> None:
    if thickness < 1.0:
        return
    end = (start[0] + length * np.cos(angle), start[1] + length * np.sin(angle))
    points = np.round(np.array([start, end]) * CANVAS).astype(int)
    cv2.line(vessels, points[0].tolist(), points[1].tolist(), 0.35 + 0.08 * thickness, round(thickness), cv2.LINE_AA)
    for turn in (-0.32, 0.32):
        _grow(vessels, end, angle + turn + rng.normal(0, 0.22), 0.8 * length, 0.66 * thickness, rng)


def _draw_airway() -> NDArray[np.float32]:
    airway = _stroke([(0.497, -0.05), (0.495, 0.15), (0.492, 0.34), (0.49, 0.385)], 0.032)
    bronchi = _stroke([(0.49, 0.375), (0.465, 0.42), (0.435, 0.455)], 0.020) + _stroke(
        [(0.49, 0.375), (0.535, 0.42), (0.575, 0.44)], 0.018
    )
    return _soft(np.minimum(airway + 0.6 * bronchi, 1.0), 4)


def _draw_stomach() -> NDArray[np.float32]:
    bubble = np.zeros((CANVAS, CANVAS), np.float32)
    cv2.ellipse(bubble, (round(0.665 * CANVAS), round(0.825 * CANVAS)), (56, 28), -8, 0, 360, 1.0, -1, cv2.LINE_AA)
    return _soft(bubble, 6)


def _draw_marker() -> NDArray[np.float32]:
    """The lead letter that says which side is the patient's left."""
    upright, foot = [(0.915, 0.045), (0.915, 0.085)], [(0.915, 0.085), (0.940, 0.085)]
    return 0.95 * _soft(np.maximum(_stroke(upright, 0.007), _stroke(foot, 0.007)), 1)


def _mirror(outline: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(1.0 - x, y) for x, y in outline]


def _smooth_line(outline: list[tuple[float, float]], closed: bool) -> NDArray[np.float64]:
    """Points of a Catmull-Rom curve through the outline, (n, 2) in canvas pixels."""
    points = np.array(outline) * CANVAS
    around = np.concatenate([points[-1:], points, points[:2]] if closed else [points[:1], points, points[-1:]])
    t = np.linspace(0, 1, 12, endpoint=False)[:, None]
    a, b, c, d = (around[k : len(around) - 3 + k, None] for k in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([curve.reshape(-1, 2), points[:1] if closed else points[-1:]])


def _fill(outline: list[tuple[float, float]]) -> NDArray[np.float32]:
    shape = np.zeros((CANVAS, CANVAS), np.float32)
    cv2.fillPoly(shape, [np.round(_smooth_line(outline, closed=True) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, shift=4)
    return shape


def _stroke(outline: list[tuple[float, float]], thickness: float) -> NDArray[np.float32]:
    shape = np.zeros((CANVAS, CANVAS), np.float32)
    curve = np.round(_smooth_line(outline, closed=False) * 16).astype(np.int32)
    cv2.polylines(shape, [curve], False, 1.0, round(thickness * CANVAS), cv2.LINE_AA, shift=4)
    return shape


def _disc(centre: tuple[float, float], radius: float) -> NDArray[np.float32]:
    shape = np.zeros((CANVAS, CANVAS), np.float32)
    cv2.circle(
        shape, (round(centre[0] * CANVAS), round(centre[1] * CANVAS)), round(radius * CANVAS), 1.0, -1, cv2.LINE_AA
    )
    return shape


def _soft(shape: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    return cv2.GaussianBlur(shape.astype(np.float32), (0, 0), sigma)


def _save(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
