"""A copy of a data set in which the middle of every film is black: does a network need the lungs for its answer?

    python benchmarks/blackout.py DATA OUT [--share 0.8]
    python Model_Training/train.py --task covid3 --data OUT --out RUN ...
    python Model_Training/test.py RUN --data OUT --external OUT

What a network tells by the border alone, it tells by marks of the source (Maguolo, Nanni: A critic evaluation of
methods for COVID-19 automatic detection from X-ray images, Information Fusion 2021).
"""

import argparse
import shutil
from pathlib import Path

import cv2

ENDINGS = (".jpg", ".jpeg", ".png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of films, in any layout")
    parser.add_argument("out", type=Path, help="folder for the copy; everything but films is copied as it is")
    parser.add_argument("--share", type=float, default=0.8, help="of each side, how much the black box takes")
    options = parser.parse_args()
    for file in sorted(options.data.rglob("*")):
        copy = options.out / file.relative_to(options.data)
        if file.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix.lower() in ENDINGS:
                blacken(file, copy, options.share)
            else:
                shutil.copyfile(file, copy)


def blacken(file: Path, copy: Path, share: float) -> None:
    film = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    if film is None:
        raise SystemExit(f"{file} cannot be read.")
    height, width = film.shape[:2]
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    film[top : height - top, left : width - left] = 0
    cv2.imwrite(str(copy), film, [cv2.IMWRITE_JPEG_QUALITY, 95])


if __name__ == "__main__":
    main()
