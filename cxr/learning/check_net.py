"""The film check's network, small enough to cost a millisecond, and its file."""

from pathlib import Path

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from cxr.checkfile import CHECK_KEY, CHECK_OUTPUTS, SIGNS, TURNS, CheckInfo
from cxr.learning.export import store_in_8_bits, to_onnx

SIZE = 96  # pixels
WIDTHS = (16, 24, 32, 48, 64)  # channels after each halving of the side, but for the last, which keeps it
PLACES = 6 * 6  # of the last map: where things lie tells what is up


class CheckNet(nn.Module):
    """Films (N, 1, 96, 96), grey in [0, 1] -> logits (N, 4 signs + 4 turns)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in zip((1, *WIDTHS), WIDTHS, (2, 2, 2, 2, 1), strict=False):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], 32, 1), nn.ReLU(), nn.Flatten())
        self.dropout = nn.Dropout(0.2)
        self.dense = nn.Linear(32 * PLACES, 40)
        self.head = nn.Linear(40, len(SIGNS) + len(TURNS))

    def forward(self, films: Tensor) -> Tensor:
        """Mean and spread of each film are taken out, so that exposure does not matter."""
        mean = films.mean((2, 3), keepdim=True)
        spread = ((films - mean) ** 2).mean((2, 3), keepdim=True).sqrt()
        features = self.features((films - mean) / (spread + 0.02))
        return self.head(torch.relu(self.dense(self.dropout(features))))  # type: ignore[no-any-return]


class Served(nn.Module):
    """The same with probabilities: signs (N, 4) each by itself, turns (N, 4) one of all."""

    def __init__(self, net: CheckNet):
        super().__init__()
        self.net = net

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net(films)
        return torch.sigmoid(logits[:, : len(SIGNS)]), torch.softmax(logits[:, len(SIGNS) :], 1)


def export_check(net: CheckNet, info: CheckInfo, file: Path) -> None:
    """Write the ONNX file, weights in 16 bits; the batch size stays free."""
    graph = to_onnx(Served(net).eval(), torch.zeros(2, 1, info.size, info.size), CHECK_OUTPUTS)
    store_in_8_bits(graph)
    helper.set_model_props(graph, {CHECK_KEY: info.to_json()})
    onnx.checker.check_model(graph)
    file.write_bytes(graph.SerializeToString())
