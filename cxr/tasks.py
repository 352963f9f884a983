"""What is predicted: label names, how a film is prepared for the model, and how the model is trained."""

from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Recipe:
    """How a model of a task is trained. Each field is a flag of Model_Training/train.py; `help` documents it."""

    arch: str = field(default="resnet50v2", metadata={"help": "trunk of the network"})
    pooling: str = field(default="lse", metadata={"help": "how the last feature map becomes one vector"})
    size: int = field(default=224, metadata={"help": "side of the input, pixels"})
    epochs: int = field(default=8, metadata={"help": "passes over the training films"})
    small_epochs: int = field(default=0, metadata={"help": "of these, the first N at --small-size (progressive resizing)"})
    small_size: int = field(default=160, metadata={"help": "side of the input in the first --small-epochs, pixels"})
    batch: int = field(default=32, metadata={"help": "films in a step"})
    lr: float = field(default=1e-4, metadata={"help": "peak learning rate of pretrained layers"})
    new_layer_lr: float = field(default=10.0, metadata={"help": "learning rate of layers that start at random, as a multiple of --lr"})
    weight_decay: float = field(default=1e-2, metadata={"help": "weight decay of AdamW"})
    warmup: float = field(default=0.1, metadata={"help": "share of all steps in which the learning rate rises"})
    loss: str = field(default="bce", metadata={"help": "training loss"})
    ema: float = field(default=0.998, metadata={"help": "decay of the moving average of weights that is kept; 0: none"})
    augment: str = field(default="standard", metadata={"help": "set of random changes to the training films"})
    val_share: float = field(default=0.1, metadata={"help": "share of the training patients held out for validation"})
    seed: int = field(default=0, metadata={"help": "seed of the split, of the first weights, of order and augmentation"})


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
