"""Films a second in training: this bench against a plain loop, side by side in one run.

    python benchmarks/training_rate.py [--arch efficientnet_b0 ...] [--films 512] [--size 224] [--repeats 3]

The plain loop is what tutorials and many published systems do: a DataLoader whose workers decode with PIL and
augment with torchvision, float32, NCHW, Adam. The bench is `train.py` as it is, in its second epoch. Both augment
films on disk, drawn here: 256 px JPEG, and 1024 px PNG. Each measurement has a process of its own and they
alternate, so that neither profits from a warmer machine. Prints a Markdown table of medians with their spread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BATCH = 32
KINDS = {"256 px JPEG": (256, ".jpg"), "1024 px PNG": (1024, ".png")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=["efficientnet_b0", "resnet50"], help="networks to train")
    parser.add_argument("--films", type=int, default=512, help="films in an epoch")
    parser.add_argument("--size", type=int, default=224, help="side of the input, pixels")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each, taken in turn")
    parser.add_argument("--compile", action="store_true", help="let the bench compile the network (--compile)")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # this process is one measurement
    options = parser.parse_args()
    if options.measure:
        way, folder = options.measure
        print(json.dumps(WAYS[way](Path(folder), options)))
        return
    print("| network | films | plain loop, films/s | this bench, films/s | ratio |\n|---|---|---|---|---|")
    for kind, (side, ending) in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            draw_films(Path(folder), options.films, side, ending)
            for arch in options.arch:
                print(row(arch, kind, folder, options), flush=True)


def row(arch: str, kind: str, folder: str, options: argparse.Namespace) -> str:
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.repeats):
        for way, measured in rates.items():
            measured.append(_in_a_process(way, folder, arch, options))
    plain, ours = (rates[way] for way in ("plain", "bench"))
    ratio = statistics.median(ours) / statistics.median(plain)
    return f"| {arch} | {kind} | {_spread(plain)} | {_spread(ours)} | {ratio:.1f} |"


def _spread(rates: list[float]) -> str:
    return f"{statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})"


def _in_a_process(way: str, folder: str, arch: str, options: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--measure", way, folder, "--arch", arch]
    command += ["--films", str(options.films), "--size", str(options.size), *["--compile"] * options.compile]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(json.loads(done.stdout.splitlines()[-1]))


def draw_films(folder: Path, count: int, side: int, ending: str) -> None:
    """Phantom films with noise and random labels, in the layout of one's own csv."""
    import cv2
    import numpy as np

    from cxr.tasks import TASKS
    from tests.phantom import draw_phantom

    random = np.random.default_rng(0)
    phantom = draw_phantom(side, side) * 230
    labels = TASKS["chestxray14"].labels
    lines = [",".join(["path", "patient", "part", *labels])]
    for number in range(count + BATCH):
        name = f"{number:05d}{ending}"
        film = np.clip(phantom + random.normal(0, 6, phantom.shape), 0, 255)
        cv2.imwrite(str(folder / name), film.astype(np.uint8))
        part = "train" if number < count else "validation"
        lines.append(",".join([name, str(number), part, *map(str, random.integers(0, 2, len(labels)))]))
    (folder / "films.csv").write_text("\n".join(lines))


def plain_loop(folder: Path, options: argparse.Namespace) -> float:
    """Films a second of the usual loop, its first steps left out."""
    import pandas as pd
    import torch
    import torchvision.transforms as T
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from cxr.learning.models import build

    rows = pd.read_csv(folder / "films.csv").query("part == 'train'").drop(columns=["patient", "part"])
    labels = torch.tensor(rows.drop(columns="path").to_numpy(), dtype=torch.float32)
    change = T.Compose(
        [
            T.Resize((options.size, options.size)),
            T.RandomHorizontalFlip(),
            T.RandomAffine(10, (0.06, 0.06), (0.85, 1.15)),
            T.ColorJitter(0.1, 0.25),
            T.ToTensor(),
            T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    class Films(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            picture = Image.open(folder / rows.iloc[index]["path"]).convert("RGB")
            return change(picture), labels[index]

    loader = DataLoader(Films(), BATCH, shuffle=True, num_workers=os.cpu_count() or 1)
    net = build(options.arch[0], "avg", labels.shape[1], 3, seed=0, size=options.size).train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)
    loss = torch.nn.BCEWithLogitsLoss()
    steps, began = 0, 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
        steps += 1
        if steps == 2:
            began = time.monotonic()
    return (steps - 2) * BATCH / (time.monotonic() - began)


def bench(folder: Path, options: argparse.Namespace) -> float:
    """Films a second that train.py writes into metrics.jsonl for its second epoch."""
    with tempfile.TemporaryDirectory() as out:
        flags = f"--data {folder} --out {out} --cache {out}/cache --arch {options.arch[0]} --pooling avg --epochs 2"
        flags += f" --size {options.size} --batch {BATCH} --task chestxray14"
        command = [sys.executable, str(ROOT / "Model_Training" / "train.py"), *flags.split()]
        subprocess.run([*command, *["--compile"] * options.compile], check=True, stdout=subprocess.DEVNULL)
        return float(json.loads(Path(out, "metrics.jsonl").read_text().splitlines()[1])["films_s"])


WAYS = {"plain": plain_loop, "bench": bench}

if __name__ == "__main__":
    main()
