"""Where films and starting weights come from: licence, attribution, and what to know before trusting a figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A public data set, or a file of trained weights."""

    title: str
    licence: str
    attribution: str
    labels: str = ""  # the reference standard: who or what said what a film shows
    cautions: tuple[str, ...] = ()


# By layout of the data set (cxr.learning.datasets.LAYOUTS).
DATA = {
    "nih": Source(
        "NIH ChestX-ray14",
        "no restriction on use",
        'Wang et al., "ChestX-ray8", CVPR 2017; provider: NIH Clinical Center, https://nihcc.app.box.com/v/ChestXray-NIHCC',
        "Mined by text analysis from radiologists' reports, one reader a film; about one label in ten is wrong.",
        (
            "Films of one hospital in the United States; many patients were ill for long and have many films.",
            "The absence of a label means that the report did not mention the finding, not that it was ruled out.",
        ),
    ),
    "chexpert": Source(
        "CheXpert",
        "Stanford University School of Medicine CheXpert Dataset Research Use Agreement",
        'Irvin et al., "CheXpert", AAAI 2019',
        "Mined by text analysis from radiologists' reports; uncertain mentions are labelled -1.",
        ("Films of one hospital in the United States.",),
    ),
    "kermany": Source(
        "Films of Kermany et al. (paediatric pneumonia)",
        "CC BY 4.0",
        'Kermany, Zhang, Goldbaum, "Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for '
        'Classification", Mendeley Data rscbjbr9sj',
        "Two physicians graded each film; a third checked the evaluation set.",
        (
            "Children of one to five years from one hospital: no word on older children or adults.",
            "Numbers of persons are reused across folders, so that patients are known only within a folder.",
        ),
    ),
    "class folders": Source(
        "Class folders; those that this project trains covid3 on are films of Hannover, COVID-CXNet and NIH",
        "Hannover: CC BY 3.0; COVID-CXNet: CC BY 4.0 as a collection, rights of its films not verified; NIH: no "
        "restriction on use",
        "Winther et al., covid-19-image-repository; Haghanifar et al., COVID-CXNet; Wang et al., CVPR 2017",
        "The folder in which a film lay.",
        (
            "Class and source are confounded: the films of each class come from other hospitals, so that a network can "
            "score well by the marks of a source alone.",
        ),
    ),
}

# By file name in a training record, or "torchvision".
START_WEIGHTS = {
    "efficientnet_b0_trunk_fp16.safetensors": Source(
        "EfficientNet-B0, ImageNet, then salient objects (TRACER TE-0)", "Apache-2.0", "Lee et al., TRACER, AAAI 2022"
    ),
    "resnet50v2_stage1to3_fp16.safetensors": Source(
        "ResNet-50 v2 to stage 3, ImageNet (Gluon form)", "Apache-2.0", "He et al., ECCV 2016"
    ),
    "torchvision": Source("torchvision's ImageNet weights", "BSD-3-Clause", "torchvision model zoo"),
}
