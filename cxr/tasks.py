"""What is predicted: label names, how a film is prepared for the model, and how the model is trained."""

from dataclasses import dataclass, field
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How a film becomes a model's input (1, C, S, S); stored in every model file."""

    size: int = 224  # S, pixels
    fit: str = "pad"  # "pad" to a square or "squash" into one
    mean: tuple[float, ...] = IMAGENET_MEAN  # one number for each channel C
    std: tuple[float, ...] = IMAGENET_STD

    @property
    def channels(self) -> int:
        return len(self.mean)


def _flag(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Recipe:
    """How a model of a task is trained. Each field is a flag of Model_Training/train.py."""

    arch: str = _flag("resnet50v2", "trunk of the network")
    pooling: str = _flag("lse", "how the last feature map becomes one vector")
    head: str = _flag("linear", "layers between the pooled vector and the logits")
    epochs: int = _flag(8, "passes over the training films")
    size: int = _flag(224, "side of the input, pixels")
    small_epochs: int = _flag(0, "of the epochs, how many first ones see --small-size pixels (progressive resizing)")
    small_size: int = _flag(160, "side of the input in the first --small-epochs, pixels")
    normal_share: float = _flag(1.0, "share of the films without any finding that an epoch draws, anew each time")
    frozen: int = _flag(0, "how many blocks of the trunk, counted from the input, stay as they started")
    batch: int = _flag(32, "films in a step")
    lr: float = _flag(2e-4, "peak learning rate of layers that start trained")
    new_layer_lr: float = _flag(10.0, "learning rate of layers that start at random, as a multiple of --lr")
    weight_decay: float = _flag(0.02, "weight decay of AdamW")
    warmup: float = _flag(0.1, "share of all steps in which the learning rate rises")
    loss: str = _flag("bce", "what is minimised")
    ema: float = _flag(0.998, "decay of the moving average of the weights that is kept; 0: keep the weights themselves")
    precision: str = _flag("auto", "arithmetic of the trunk; auto: bf16 on a GPU or a processor with AMX, else f32")
    augment: str = _flag("standard", "set of random changes to the training films")
    val_share: float = _flag(0.1, "share of the training patients held out for validation")
    seed: int = _flag(0, "seed of the split, the first weights, the order and the augmentation")


@dataclass(frozen=True)
class Task:
    """A frozen preset of what is predicted."""

    name: str
    title: str  # shown to people
    audience: str  # whose films the task is for
    labels: tuple[str, ...]
    kind: str = "multilabel"  # "multilabel": a sigmoid for each label; "multiclass": one softmax
    preprocessing: Preprocessing = Preprocessing()
    recipe: Recipe = Recipe()


CHESTXRAY14 = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip

TASKS = {
    task.name: task
    for task in (
        Task("chestxray14", "Adult chest film, fourteen findings", "adults, frontal films", CHESTXRAY14),
        Task("chestxray8", "Adult chest film, eight findings", "adults, frontal films", CHESTXRAY14[:8]),
    )
}
