"""FilmNet and its parts."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from cxr.errors import ModelFileError, TrainingError
from cxr.learning.models import LsePooling, build
from cxr.learning.trunks import ARCHITECTURES
from tests.learning.nets import tiny_checkpoint, tiny_net


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_gives_a_logit_for_each_label(arch: str) -> None:
    net = build(arch, "avg", labels=14, channels_in=3, seed=0).eval()
    with torch.inference_mode():
        features = net.features(torch.zeros(2, 3, 64, 64))
        assert net.head(features).shape == (2, 14)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_takes_one_channel(arch: str) -> None:
    assert build(arch, "avg", 2, channels_in=1, seed=0).eval()(torch.zeros(1, 1, 64, 64)).shape == (1, 2)


def test_lse_of_equal_values_is_the_value() -> None:
    pooling = _identity_pooling()
    assert pooling(torch.full((1, 1, 2, 2), 0.7)).item() == pytest.approx(0.7)


def test_lse_lies_between_mean_and_maximum() -> None:
    # (1/10) log((e^0 + e^0 + e^0 + e^10) / 4)
    assert _identity_pooling()(torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])).item() == pytest.approx(0.8613842)


def test_lse_of_huge_values_does_not_overflow() -> None:
    assert _identity_pooling()(torch.full((1, 1, 2, 2), 1e6)).item() == pytest.approx(1e6)


def test_the_seed_decides_the_first_weights_and_leaves_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build("efficientnet_b0", "avg", 2, 3, seed).classifier.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_frozen_block_keeps_its_weights_and_its_statistics() -> None:
    net = tiny_net("avg", dtype=torch.float32)
    net.freeze(1)
    net.train()
    before = {name: t.clone() for name, t in net.trunk.state_dict().items()}
    net(torch.rand(4, 1, 8, 8)).sum().backward()
    assert net.trunk[0].weight.grad is None
    assert net.trunk[3].weight.grad is not None
    assert all(torch.equal(before[name], t) for name, t in net.trunk.state_dict().items())


def test_parameters_that_start_at_random_are_new() -> None:
    net = build("resnet50v2", "lse", 14, 3, 0)
    new = {name.split(".")[0] + "." + name.split(".")[1] for name, _ in net.named_parameters() if net.is_new(name)}
    assert new == {"trunk.stages", "trunk.bn_out", "pooling.transfer", "classifier.weight", "classifier.bias"}
    assert net.is_new("trunk.stages.3.0.conv1.weight")
    assert not net.is_new("trunk.stages.2.0.conv1.weight")


def test_a_starting_file_fills_the_trunk(tmp_path: Path) -> None:
    net = build("resnet50v2", "lse", 14, 3, 0)
    file = tmp_path / "start.safetensors"
    save_file({"conv1.weight": torch.ones(64, 3, 7, 7).half(), "post.bias": torch.full((1024,), 2.0)}, file)
    assert "trunk.conv1.weight" not in net.load_start(file)
    assert net.trunk.conv1.weight.eq(1).all()
    assert net.trunk.stages[3][0].bn1.bias.eq(2).all()


def test_a_checkpoint_of_another_task_gives_all_but_its_classifier(tmp_path: Path) -> None:
    fourteen, two = (build("efficientnet_b0", "lse", labels, 3, seed=labels) for labels in (14, 2))
    save_file({f"model.{name}": t for name, t in fourteen.state_dict().items()}, tmp_path / "best.safetensors")
    assert two.load_start(tmp_path / "best.safetensors") == ["classifier.weight", "classifier.bias"]
    assert torch.equal(two.pooling.transfer.weight, fourteen.pooling.transfer.weight)


TORCHVISION = ["resnet18", "resnet50", "densenet121", "densenet201", "vgg16", "convnext_tiny", "efficientnet_b1"]


@pytest.mark.parametrize("arch", TORCHVISION)
def test_a_file_of_torchvisions_own_names_fills_the_trunk(arch: str, tmp_path: Path) -> None:
    with torch.device("meta"):  # names and shapes alone
        theirs = torchvision.models.get_model(arch)
    weights = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in theirs.state_dict().items()}
    if "dense" in arch:  # as in the files that torchvision offers
        weights = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): t for name, t in weights.items()}
    torch.save(weights, tmp_path / "theirs.pth")
    net = build(arch, "lse", 14, 3, 0)
    random = net.load_start(tmp_path / "theirs.pth")
    assert {name.split(".")[0] for name in random} == {"pooling", "classifier"}
    assert all(parameter.eq(0).all() for parameter in net.trunk.parameters())


def test_the_trunk_of_torchvisions_names_answers_as_torchvision_does(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet18(weights=None).eval()
    save_file(theirs.state_dict(), tmp_path / "resnet18.safetensors")
    net = build("resnet18", "avg", 14, 3, 1).eval()
    net.load_start(tmp_path / "resnet18.safetensors")
    films = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = torch.nn.Sequential(*list(theirs.children())[:-2])(films)
        torch.testing.assert_close(net.features(films), features)


def test_a_pickled_program_is_not_run_for_its_weights(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "net.pth")
    with pytest.raises(ModelFileError, match=r"net\.pth cannot be read"):
        tiny_net("avg").load_start(tmp_path / "net.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelFileError, match=r"list\.pth holds no tensors by name; give the state_dict"):
        tiny_net("avg").load_start(tmp_path / "list.pth")


def test_layers_that_the_starting_file_held_learn_at_the_rate_of_trained_ones(tmp_path: Path) -> None:
    fourteen, same, other = (build("resnet50v2", "lse", labels, 3, 0) for labels in (14, 14, 2))
    save_file({f"model.{name}": t for name, t in fourteen.state_dict().items()}, tmp_path / "best.safetensors")
    assert fourteen.is_new("classifier.weight")
    same.load_start(tmp_path / "best.safetensors")
    assert [name for name, _ in same.named_parameters() if same.is_new(name)] == []
    other.load_start(tmp_path / "best.safetensors")
    assert [n for n, _ in other.named_parameters() if other.is_new(n)] == ["classifier.weight", "classifier.bias"]


def test_a_starting_file_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"layer9.weight": torch.ones(3)}, file)
    with pytest.raises(
        ModelFileError, match=r"other.safetensors does not fit resnet50v2: its 'trunk.layer9.weight' has no place there"
    ):
        build("resnet50v2", "lse", 14, 3, 0).load_start(file)


def test_a_damaged_starting_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.safetensors"
    file.write_bytes(b"not tensors")
    with pytest.raises(ModelFileError, match=r"broken\.safetensors cannot be read"):
        build("resnet50v2", "lse", 14, 3, 0).load_start(file)


def test_resnet50v2_has_no_torchvision_weights() -> None:
    with pytest.raises(TrainingError, match="--init"):
        ARCHITECTURES["resnet50v2"](3, "DEFAULT")


def _identity_pooling() -> LsePooling:
    pooling = LsePooling(1, positions=4, channels=1)
    pooling.transfer.weight.data.fill_(1.0)
    pooling.transfer.bias.data.zero_()
    return pooling


def test_a_start_of_three_equal_channels_becomes_one_of_one_channel(tmp_path: Path) -> None:
    three, one = (build("resnet50v2", "avg", 2, channels, seed=channels).eval() for channels in (3, 1))
    three.trunk.bn_in.weight.data = torch.tensor([1.0, 2.0, 3.0])
    save_file({f"model.{name}": t for name, t in three.state_dict().items()}, tmp_path / "best.safetensors")
    one.load_start(tmp_path / "best.safetensors")
    assert one.trunk.bn_in.weight.tolist() == [2.0]
    torch.testing.assert_close(one.trunk.conv1.weight, three.trunk.conv1.weight.sum(1, keepdim=True))


def test_a_head_with_batchnorm_learns_from_a_last_film_alone() -> None:
    net = tiny_net("avg", dtype=torch.float32, head="dense512").train()
    net(torch.rand(1, 1, 8, 8)).sum().backward()
    assert net.norm.num_batches_tracked == 0  # one film has no variance, so the statistics stay
    net(torch.rand(2, 1, 8, 8))
    assert net.norm.num_batches_tracked == 1


def test_weights_of_another_network_than_the_recipe_names_are_refused() -> None:
    one = tiny_checkpoint()
    with pytest.raises(ModelFileError, match="The checkpoint's weights are not those of simplecnn"):
        dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, arch="simplecnn")).network()
