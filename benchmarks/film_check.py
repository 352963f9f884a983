"""Does the film check refuse what it should, and nothing else? Shares with 95 % intervals, as Markdown tables.

    python benchmarks/film_check.py DATA [--photographs FILE...] [--pages DIR] [--dicom DIR...]

DATA holds `nih/`, `kermany/` and `covid/`, whose test parts (COVID: external) are read. Good films go through the whole
pipeline, bad ones are made of them. Pictures are tested whole and in parts; none may have been learned from.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cxr.films.film import Film, Metadata  # noqa: E402
from cxr.films.read import read_film  # noqa: E402
from cxr.films.reasons import REASONS, REFUSE  # noqa: E402
from cxr.learning.check_pictures import LEAST_SIDE, cut_out, dicom_frames, read_pictures, without  # noqa: E402
from cxr.learning.datasets import read_data_set  # noqa: E402
from cxr.reading.reader import Reader  # noqa: E402
from cxr.reading.report import FilmCheck  # noqa: E402
from cxr.tasks import TASKS  # noqa: E402

Pixels = NDArray[np.float32]
LISTS = {"NIH test list": ("nih", "chestxray14"), "Kermany test": ("kermany", "pneumonia3")}
PARTS = 24  # of each picture
CUT = 0.35  # share of the side that is cut off
NORMAL_95 = 1.96

# kind -> (what is done to an upright film, the reason that should be found)
BAD: dict[str, tuple[Callable[[Pixels], Pixels], str]] = {
    "inverted": (lambda film: 1 - film, "inverted"),
    "turned by 90°, left": (lambda film: np.rot90(film, 1), "rotated"),
    "turned by 180°": (lambda film: np.rot90(film, 2), "rotated"),
    "turned by 90°, right": (lambda film: np.rot90(film, 3), "rotated"),
    "inverted and turned by 180°": (lambda film: 1 - np.rot90(film, 2), "inverted"),
    "mirrored (warning)": (lambda film: film[:, ::-1], "mirrored"),
    "upper 35 % cut off (warning)": (lambda film: film[int(len(film) * CUT) :], "cut_off"),
    "lower 35 % cut off (warning)": (lambda film: film[: -int(len(film) * CUT)], "cut_off"),
    "left 35 % cut off (warning)": (lambda film: film[:, int(film.shape[1] * CUT) :], "cut_off"),
    "right 35 % cut off (warning)": (lambda film: film[:, : -int(film.shape[1] * CUT)], "cut_off"),
    "a quarter of the light": (lambda film: film / 4, "too_dark"),
    "a sixth of the contrast": (lambda film: 0.4 + film / 6, "flat"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with nih/, kermany/ and covid/")
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--pages", type=Path, help="folder of screenshots and scanned pages")
    parser.add_argument("--dicom", type=Path, nargs="*", default=[], metavar="DIR", help="CT, MR, US, by their headers")
    parser.add_argument("--only", choices=TABLES, help="one of the tables")
    options = parser.parse_args()
    reader = Reader.load()
    for name, table in TABLES.items():
        if options.only in (None, name):
            print("\n".join(table(options, reader)), flush=True)


def _good_films(options: argparse.Namespace, reader: Reader) -> Iterator[str]:
    yield "| good films | n | wrongly refused | for | warned, mirrored | warned, cut off |\n|---|---|---|---|---|---|"
    for name, paths in _lists(options.data).items():
        checks = [reader.read(read_film(path)).check for path in paths]
        for path, check in zip(paths, checks, strict=True):
            if not check.accepted:
                print(path.name, [reason.code for reason in check.refusals], file=sys.stderr)
        yield _good(name, checks)


def _bad_films(options: argparse.Namespace, reader: Reader) -> Iterator[str]:
    lists = _lists(options.data)
    yield f"\n| bad films, made of | {' | '.join(lists)} |\n|---|{'---|' * len(lists)}"
    caught = [_caught(reader, paths) for paths in lists.values()]  # (films, kinds) of each list
    for number, kind in enumerate(BAD):
        yield f"| {kind} | {' | '.join(share(int(each[:, number].sum()), len(each)) for each in caught)} |"


def _strange_pictures(options: argparse.Namespace, reader: Reader) -> Iterator[str]:
    yield "\n| no chest films | pictures | refused whole | refused, whole and parts |\n|---|---|---|---|"
    for kind, pictures in _pictures(options).items():
        yield _strange(kind, pictures, reader)


TABLES = {"good": _good_films, "bad": _bad_films, "strange": _strange_pictures}


def _lists(data: Path) -> dict[str, tuple[Path, ...]]:
    return {name: _list(data, name) for name in (*LISTS, "COVID external")}


def _list(data: Path, name: str) -> tuple[Path, ...]:
    if name in LISTS:
        folder, task = LISTS[name]
        return read_data_set(data / folder, TASKS[task]).part("test").paths
    return read_data_set(data / "covid", TASKS["covid3"]).external().paths


def _good(name: str, checks: list[FilmCheck]) -> str:
    codes = Counter(reason.code for check in checks for reason in check.reasons)
    refusals = Counter(reason.code for check in checks for reason in check.refusals)
    refused = share(sum(not check.accepted for check in checks), len(checks))
    why = ", ".join(f"{code} {count}" for code, count in refusals.most_common())
    mirrored, cut_off = (share(codes[code], len(checks)) for code in ("mirrored", "cut_off"))
    return f"| {name} | {len(checks)} | {refused} | {why} | {mirrored} | {cut_off} |"


def _caught(reader: Reader, paths: Iterable[Path]) -> NDArray[np.bool_]:
    """(films, kinds): is it refused, for whatever reason, or warned of as it should be?"""
    films = (read_film(path).pixels for path in paths)
    return np.array([[_is_caught(reader, change(film), code) for change, code in BAD.values()] for film in films])


def _is_caught(reader: Reader, pixels: Pixels, code: str) -> bool:
    reasons = reader.checker.pixel_reasons(Film(np.ascontiguousarray(pixels), Metadata("PNG", 8)))
    return any(reason.code == code or (reason.severity == REASONS[code].severity == REFUSE) for reason in reasons)


def _pictures(options: argparse.Namespace) -> dict[str, list[Pixels]]:
    kinds: dict[str, dict[str, Pixels]] = {"photographs": {p.name: read_film(p).pixels for p in options.photographs}}
    if options.pages:
        kinds["pages"] = read_pictures(options.pages)
    for path in (path for folder in options.dicom for path in sorted(folder.rglob("*.dcm"))):
        modality, frames = dicom_frames(path)
        named = {f"{path.name}#{n}": frame for n, frame in enumerate(frames) if min(frame.shape) >= LEAST_SIDE}
        kinds.setdefault(modality, {}).update(named)
    return {kind: list(without(pictures, []).values()) for kind, pictures in kinds.items()}


def _strange(kind: str, pictures: list[Pixels], reader: Reader) -> str:
    random = np.random.default_rng(0)
    whole = [_refused(reader, picture) for picture in pictures]
    parts = [_refused(reader, cut_out(picture, random)) for picture in pictures for _ in range(PARTS)]
    both = whole + parts
    return f"| {kind} | {len(pictures)} | {share(sum(whole), len(whole))} | {share(sum(both), len(both))} |"


def _refused(reader: Reader, pixels: Pixels) -> bool:
    """By any reason of the whole pipeline. Small pictures are enlarged first, so that their size is not the reason."""
    scale = max(1, -(-256 // min(pixels.shape)))
    large = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    reasons = reader.read(Film(large, Metadata("PNG", 8))).check.reasons
    return any(reason.severity == REFUSE for reason in reasons)


def share(count: int, n: int) -> str:
    """Percent with the interval of Wilson (1927), which holds at 0 and 100 % too."""
    if not n:
        return "-"
    p, z2 = count / n, NORMAL_95**2
    centre, half = (p + z2 / (2 * n)) / (1 + z2 / n), NORMAL_95 * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = centre - half / (1 + z2 / n), centre + half / (1 + z2 / n)
    return f"{p:.2%} ({low:.2%} to {high:.2%}; {count} of {n})"


if __name__ == "__main__":
    main()
