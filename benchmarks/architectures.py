"""Parameters and operations of each architecture, as a Markdown table.

    python benchmarks/architectures.py [--size 224]

Counted in one forward pass with an LSE head of fourteen labels; one multiply-add is two operations.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cxr.learning.models import build  # noqa: E402
from cxr.learning.trunks import ARCHITECTURES  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="side of the input, pixels")
    size = parser.parse_args().size
    print(f"| `--arch` | parameters, millions | operations at {size} px, billions | map |\n|---|---|---|---|")
    for arch in ARCHITECTURES:
        print(row(arch, size))


def row(arch: str, size: int) -> str:
    net = build(arch, "lse", labels=14, channels_in=3, seed=0).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        features = net.features(torch.zeros(1, 3, size, size))
        net.head(features)
    parameters = sum(p.numel() for p in net.parameters())
    _, channels, height, width = features.shape
    operations = counter.get_total_flops()
    return f"| `{arch}` | {parameters / 1e6:.2f} | {operations / 1e9:.2f} | {channels} x {height} x {width} |"


if __name__ == "__main__":
    main()
