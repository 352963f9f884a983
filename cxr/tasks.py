"""What is predicted: label names, how a film is prepared for the model, and how the model is trained."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.449,), (0.226,)  # of one channel: the mean of ImageNet's three
CHANNELS = {1: (GREY_MEAN, GREY_STD), 3: (IMAGENET_MEAN, IMAGENET_STD)}  # mean and standard deviation by their number


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
class Range:
    """The numbers that a setting may have."""

    least: float = 0.0
    most: float = math.inf
    below: float = math.inf

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.least <= value <= self.most and value < self.below

    def __str__(self) -> str:
        upper = f" and less than {self.below:g}" if self.below < math.inf else ""
        return f"from {self.least:g} to {self.most:g}" if self.most < math.inf else f"{self.least:g} or more{upper}"


_COUNT = Range(1)
_SHARE = Range(0, 1)
_PART = Range(0, below=1)


def _flag(default: Any, help: str, allowed: Range = Range()) -> Any:
    """A setting with a flag. `allowed` is for numbers alone; what else may be chosen stands with the choices."""
    return field(default=default, metadata={"help": help, "allowed": allowed})


@dataclass(frozen=True)
class Augmentation:
    """How far the random changes to a training film may go; 0 leaves a change out."""

    rotation: float = _flag(10.0, "rotation to either side, degrees", Range(0, 180))
    shift: float = _flag(0.06, "shift to any side, share of the side", _SHARE)
    zoom: float = _flag(0.15, "zoom in or out, share of the size", _PART)
    stretch: float = _flag(0.0, "wider or taller, natural logarithm of the ratio of the sides")
    flip: float = _flag(0.5, "probability of mirroring left and right", _SHARE)
    brightness: float = _flag(0.1, "brightness added or taken, of the range 0 to 1", _SHARE)
    contrast: float = _flag(0.25, "contrast about the film's mean, share", _SHARE)
    gamma: float = _flag(0.25, "gamma, natural logarithm of the exponent")
    blur: float = _flag(0.6, "share of the 3x3 mean that is blended in; half as much sharpens", _SHARE)
    noise: float = _flag(0.03, "standard deviation of Gaussian noise at most")
    speckle: float = _flag(0.0, "standard deviation of noise in proportion to the pixel at most")
    jpeg: float = _flag(0.3, "probability of losses as by JPEG, of quality 30 to 95", _SHARE)
    lettering: float = _flag(0.0, "probability of letters and numbers beside the lungs", _SHARE)
    collimation: float = _flag(0.0, "probability of dark borders, as of a collimated film", _SHARE)
    erasing: float = _flag(0.0, "probability that a box is greyed out", _SHARE)
    mixup: float = _flag(0.0, "alpha of mixup")


NO_AUGMENTATION = Augmentation(*[0] * len(fields(Augmentation)))


@dataclass(frozen=True)
class Recipe:
    """How a model of a task is trained. Each field, and each of its augmentation, is a flag of train.py."""

    arch: str = _flag("resnet50v2", "trunk of the network")
    pooling: str = _flag("lse", "how the last feature map becomes one vector")
    head: str = _flag("linear", "layers between the pooled vector and the logits")
    epochs: int = _flag(8, "passes over the training films", _COUNT)
    size: int = _flag(224, "side of the input, pixels", Range(32))
    channels: int = _flag(0, "channels of the input: 1, or 3 as ImageNet's weights have; 0: what the task has")
    small_epochs: int = _flag(0, "of the epochs, how many first ones see --small-size pixels (progressive resizing)")
    small_size: int = _flag(160, "side of the input in the first --small-epochs, pixels", Range(32))
    sampling: str = _flag("uniform", "which films an epoch draws: each once, or each class alike (oversampling)")
    normal_share: float = _flag(
        1.0, "share of the films without any finding that an epoch draws, anew each time", _SHARE
    )
    head_epochs: int = _flag(0, "first phase: epochs in which the whole trunk stays as it started")
    head_lr: float = _flag(1e-3, "peak learning rate of the first phase")
    frozen: int = _flag(0, "second phase: how many blocks of the trunk, from the input on, stay as they started")
    batch: int = _flag(32, "films in a step, over all devices", _COUNT)
    accumulate: int = _flag(1, "parts in which a step's films are computed, to fit into memory", _COUNT)
    optimizer: str = _flag("adamw", "how the weights are moved")
    lr: float = _flag(2e-4, "peak learning rate of layers that start trained")
    new_layer_lr: float = _flag(10.0, "learning rate of layers that start at random, as a multiple of --lr")
    weight_decay: float = _flag(0.02, "weight decay")
    schedule: str = _flag("cosine", "how the learning rate falls")
    warmup: float = _flag(0.1, "share of all steps in which the learning rate rises", _PART)
    plateau_patience: int = _flag(
        3, "epochs without a better validation AUROC before --schedule plateau lowers the rate", _COUNT
    )
    plateau_factor: float = _flag(0.3, "by what --schedule plateau multiplies the rate", _SHARE)
    patience: int = _flag(0, "stop after so many epochs without a better validation AUROC; 0: never")
    clip: float = _flag(1.0, "largest norm of the gradient; 0: any")
    loss: str = _flag("bce", "what is minimised")
    smoothing: float = _flag(0.0, "label smoothing", _PART)
    teacher_share: float = _flag(
        0.7, "share of the teachers' answer in what is learned, where there are teachers", _SHARE
    )
    ema: float = _flag(
        0.998, "decay of the moving average of the weights that is kept; 0: keep the weights themselves", _PART
    )
    precision: str = _flag(
        "auto", "arithmetic of the trunk; auto: bf16 on recent GPUs and processors with AMX, else fp16 or f32"
    )
    val_share: float = _flag(0.1, "share of the training patients held out for validation", _PART)
    seed: int = _flag(0, "seed of the split, the first weights, the order and the augmentation")
    augmentation: Augmentation = Augmentation()

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Recipe":
        """What `dataclasses.asdict` made of a recipe, its augmentation as far as there was one then.

        Raises TypeError for an unknown field.
        """
        return cls(**{**raw, "augmentation": replace(NO_AUGMENTATION, **raw["augmentation"])})


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
    ages_years: tuple[float, float] = (16.0, math.inf)  # from, to below: patients like those of the training films


CHESTXRAY14 = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
CHEXPERT14 = (
    "No_Finding", "Enlarged_Cardiomediastinum", "Cardiomegaly", "Lung_Opacity", "Lung_Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural_Effusion", "Pleural_Other", "Fracture", "Support_Devices",
)  # fmt: skip
ADULTS = "adults, frontal films"
CHILDREN = "children of one to five years, frontal films"
CHILDREN_YEARS = (1.0, 6.0)
COVID_ERA = "adults with films like those of the first COVID-19 waves"
TITLES = {"covid": "COVID-19"}  # label -> how people write it, where that is not the label with a capital letter
HEALTHY = frozenset({"normal", "No_Finding"})  # labels that raise no alarm

# What the published systems share: Adam at one rate for all layers, and the last weights as they are.
_PLAIN = Recipe(
    pooling="avg", optimizer="adam", lr=1e-4, new_layer_lr=1.0, weight_decay=0.0, schedule="constant", warmup=0.0,
    clip=0.0, ema=0.0,
)  # fmt: skip
# ResNet-50 with LSE pooling. Published at 512 px; films here are 256 px, so 224 unless `--size 512` is given.
_EIGHT = replace(_PLAIN, arch="resnet50", pooling="lse", loss="weighted_bce", batch=16, epochs=5)
_CHEXPERT = replace(_PLAIN, arch="densenet121", epochs=8, patience=3)
# First phase: the head alone, fewer epochs than the patience. Second: the last dense block too, ten times slower.
_CHILDREN = replace(
    _PLAIN, arch="densenet201", head="dense512", size=300, loss="weighted_cross_entropy", epochs=25, patience=6,
    head_epochs=5, head_lr=1e-4, frozen=4, lr=1e-5, schedule="plateau", plateau_factor=0.3, plateau_patience=3,
    augmentation=replace(NO_AUGMENTATION, rotation=10.0, shift=0.05, zoom=0.1, flip=0.5),
)  # fmt: skip
_BINARY = replace(_PLAIN, arch="binarycnn", pooling="flatten", head="dense512", lr=3e-4, epochs=30, patience=5)
_COVID = replace(
    _PLAIN, arch="simplecnn", pooling="flatten", head="dense256", loss="weighted_cross_entropy", lr=3e-4, epochs=30,
    patience=6, augmentation=replace(NO_AUGMENTATION, contrast=0.3, noise=0.05, speckle=0.1),
)  # fmt: skip
_FOUR = replace(_PLAIN, arch="densenet121", loss="cross_entropy", sampling="balanced", epochs=20, patience=5)

# Kermany's films come squashed to a square. Among COVID films the class tells the hospital and so the shape of the
# film: bars of padding would give the class away, so these are squashed too.
_SQUASHED = Preprocessing(fit="squash")

TASKS = {
    task.name: task
    for task in (
        Task("chestxray14", "Adult chest film, fourteen findings", ADULTS, CHESTXRAY14),
        Task("chestxray8", "Adult chest film, eight findings", ADULTS, CHESTXRAY14[:8], recipe=_EIGHT),
        Task("chexpert14", "Adult chest film, fourteen observations of CheXpert", ADULTS, CHEXPERT14, recipe=_CHEXPERT),
        Task(
            "pneumonia3",
            "Child's pneumonia: bacterial, viral or none",
            CHILDREN,
            ("bacterial", "viral", "normal"),
            "multiclass",
            replace(_SQUASHED, size=_CHILDREN.size),
            _CHILDREN,
            CHILDREN_YEARS,
        ),
        Task(
            "pneumonia",
            "Child's pneumonia",
            CHILDREN,
            ("pneumonia",),
            preprocessing=_SQUASHED,
            recipe=_BINARY,
            ages_years=CHILDREN_YEARS,
        ),
        Task(
            "covid3",
            "COVID-19, another pneumonia, or neither",
            COVID_ERA,
            ("covid", "pneumonia", "normal"),
            "multiclass",
            replace(_SQUASHED, mean=GREY_MEAN, std=GREY_STD),
            _COVID,
        ),
        Task(
            "covid4",
            "COVID-19, lung opacity, viral pneumonia, or none of them",
            COVID_ERA,
            ("covid", "lung_opacity", "viral_pneumonia", "normal"),
            "multiclass",
            _SQUASHED,
            _FOUR,
        ),
    )
}
