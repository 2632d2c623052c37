"""Importing weights: every tensor in its place, and one line for what does not fit."""

import builtins
import pickle
import re
import subprocess
import sys
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from cnn_jax.models import MODELS, create
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer import import_weights
from cnn_jax.transfer.torch_names import NAMINGS, naming

# Tensors of a CIFAR ResNet with one block in each of two stages, as PyTorch names and shapes them.
SMALL = {"stages": (1, 1)}
TENSORS = {
    "conv1.weight": (16, 3, 3, 3),
    "layer1.0.conv1.weight": (16, 16, 3, 3),
    "layer1.0.conv2.weight": (16, 16, 3, 3),
    "layer2.0.conv1.weight": (32, 16, 3, 3),
    "layer2.0.conv2.weight": (32, 32, 3, 3),
    "linear.weight": (7, 32),
    "linear.bias": (7,),
}
for norm, channels in (
    *(("bn1", 16), ("layer1.0.bn1", 16), ("layer1.0.bn2", 16)),
    *(("layer2.0.bn1", 32), ("layer2.0.bn2", 32)),
):
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        TENSORS[f"{norm}.{leaf}"] = (channels,)


def random_tensors():
    rng = np.random.default_rng(0)
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in TENSORS.items()}


@pytest.fixture
def save(tmp_path):
    def write(tensors, name="weights.safetensors"):
        path = tmp_path / name
        safetensors.numpy.save_file(tensors, path)
        return path

    return write


def flat(variables) -> Any:
    return flax.traverse_util.flatten_dict(variables, sep="/")


def test_every_tensor_lands_in_its_place_in_our_layout(save):
    tensors = random_tensors()
    module, variables = import_weights("resnet20", save(tensors), **SMALL)
    leaves = flat(variables)
    assert len(leaves) == len(tensors)
    kernel = leaves["params/stage2_block1/conv1/kernel"]
    for row, column, i, o in ((0, 2, 3, 5), (1, 0, 15, 31)):
        assert kernel[row, column, i, o] == tensors["layer2.0.conv1.weight"][o, i, row, column]
    places = {
        "params/bn1/scale": "bn1.weight",
        "params/stage1_block1/bn2/bias": "layer1.0.bn2.bias",
        "batch_stats/stage2_block1/bn1/mean": "layer2.0.bn1.running_mean",
        "batch_stats/bn1/var": "bn1.running_var",
        "params/head/bias": "linear.bias",
    }
    for ours, theirs in places.items():
        np.testing.assert_array_equal(leaves[ours], tensors[theirs])
    np.testing.assert_array_equal(leaves["params/head/kernel"], tensors["linear.weight"].T)
    logits = module.apply(variables, jnp.ones((2, 8, 8, 3)), train=False)
    assert isinstance(logits, jax.Array)
    assert logits.shape == (2, 7)


def test_prefixes_counters_and_other_types_are_taken(save):
    tensors = random_tensors()
    _, expected = import_weights("resnet20", save(tensors), **SMALL)
    wrapped = {f"module.{key}": value for key, value in tensors.items()}
    wrapped["module.bn1.num_batches_tracked"] = np.array(3)
    wrapped["module.linear.bias"] = wrapped["module.linear.bias"].astype(np.float64)
    _, variables = import_weights("resnet20", save(wrapped, "wrapped.safetensors"), **SMALL)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_channels_come_from_the_file(save):
    tensors = random_tensors()
    tensors["conv1.weight"] = tensors["conv1.weight"][:, :1].copy()
    _, variables = import_weights("resnet20", save(tensors), **SMALL)
    assert variables["params"]["conv1"]["kernel"].shape == (3, 3, 1, 16)


def test_bfloat16_files_are_read(save):
    tensors = {key: value.astype(jnp.bfloat16) for key, value in random_tensors().items()}
    _, variables = import_weights("resnet20", save(tensors), **SMALL)
    expected = tensors["linear.bias"].astype(np.float32)
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], expected)


@pytest.mark.parametrize("name", NAMINGS)
def test_a_layout_names_every_layer_once(name):
    if name == "resnet1202":
        pytest.skip("differs from resnet110 in the number of blocks alone")
    layout, fields = naming(name), {}
    if layout.aux:
        fields = {"aux": True}
    module = create(name, num_classes=3, **fields)
    x = jax.ShapeDtypeStruct((1, layout.size, layout.size, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), x)
    paths = {path[:-1] for path in flax.traverse_util.flatten_dict(variables["params"])}
    names = [layout.module(path) for path in paths]
    assert len(set(names)) == len(paths)
    assert {layout.stem, layout.head} <= set(names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("layer1.0.bn2.running_var"),
            r"has no tensor 'layer1.0.bn2.running_var' for resnet20",
        ),
        (
            lambda t: t.update({"layer9.0.conv1.weight": np.ones((1, 1, 1, 1))}),
            "has a surplus tensor 'layer9.0.conv1.weight' for resnet20",
        ),
        (
            lambda t: t.update({"bn1.weight": np.ones(17)}),
            r"'bn1.weight' \(17,\) does not fit resnet20's bn1/scale \(16,\)",
        ),
        (
            lambda t: t.update({"layer1.0.conv1.weight": np.ones((16, 16, 5, 5))}),
            r"'layer1.0.conv1.weight' \(16, 16, 5, 5\) does not fit resnet20's stage1_block1/conv1",
        ),
        (
            lambda t: t.pop("linear.weight"),
            "has no tensor 'linear.weight' for resnet20; are these its weights",
        ),
    ],
)
def test_missing_surplus_and_misshapen_tensors_are_named(save, change, message):
    tensors = random_tensors()
    change(tensors)
    path = save(tensors)
    with pytest.raises(BadInputError, match=message) as caught:
        import_weights("resnet20", path, **SMALL)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_refused(save):
    with pytest.raises(BadInputError, match=r"has no tensor 'classifier.6.weight' for vgg16"):
        import_weights("vgg16", save(random_tensors()))
    with pytest.raises(BadInputError, match=r"has no tensor 'layer1.1.* and .* more for resnet20"):
        import_weights("resnet20", save(random_tensors()))


def test_a_truncated_safetensors_file_is_refused(save):
    path = save(random_tensors())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadInputError, match="not a whole safetensors file"):
        import_weights("resnet20", path, **SMALL)
    path.write_bytes(b"")
    with pytest.raises(BadInputError, match="not a whole safetensors file"):
        import_weights("resnet20", path, **SMALL)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"none.safetensors: no such file"):
        import_weights("resnet20", tmp_path / "none.safetensors")
    other = tmp_path / "weights.h5"
    other.write_bytes(b"x")
    with pytest.raises(BadInputError, match=r"takes .safetensors, .pth, .pt, .th"):
        import_weights("resnet20", other)


def test_models_without_a_pytorch_layout_are_refused(save):
    unknown = [name for name in MODELS if name not in NAMINGS]
    assert "mobilenet_v1" in unknown
    for name in unknown:
        with pytest.raises(BadInputError, match=f"no PyTorch layout is known for '{name}'"):
            import_weights(name, save({}))


def test_without_pytorch_a_pth_file_says_so(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    path = tmp_path / "weights.pth"
    path.write_bytes(b"PK")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInputError, match=r"reading .pth takes PyTorch"):
        import_weights("resnet20", path)


def test_importing_the_package_loads_no_pytorch():
    code = "import sys, cnn_jax.transfer; assert not {'torch', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


class TestPyTorchFiles:
    """Files in PyTorch's own formats."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    @pytest.mark.parametrize("suffix", [".pth", ".pt", ".th"])
    @pytest.mark.parametrize("zipped", [True, False])
    def test_both_formats_give_the_tensors(self, torch, save, tmp_path, suffix, zipped):
        tensors = random_tensors()
        path = tmp_path / f"weights{suffix}"
        state = {f"module.{key}": torch.from_numpy(value) for key, value in tensors.items()}
        state["module.bn1.num_batches_tracked"] = torch.tensor(4)
        content = {"state_dict": state, "best_prec1": 91.7, "epoch": 200}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        _, variables = import_weights("resnet20", path, **SMALL)
        _, expected = import_weights("resnet20", save(tensors), **SMALL)
        jax.tree.map(np.testing.assert_array_equal, variables, expected)

    def test_a_pickle_that_holds_more_than_tensors_is_refused_unopened(self, torch, tmp_path):
        ran = tmp_path / "ran"

        class Payload:
            def __reduce__(self):
                return (open, (str(ran), "w"))

        for name, write in (("a.pth", torch.save), ("b.pth", dump)):
            path = tmp_path / name
            write({"conv1.weight": Payload()}, path)
            with pytest.raises(BadInputError, match="holds more than tensors") as caught:
                import_weights("resnet20", path)
            assert "\n" not in str(caught.value)
            assert not ran.exists()

    def test_a_whole_network_that_was_pickled_gets_a_line_in_plain_words(self, torch, tmp_path):
        path = tmp_path / "whole.pth"
        torch.save(torch.nn.Linear(2, 3), path)
        with pytest.raises(BadInputError, match="holds more than tensors") as caught:
            import_weights("resnet20", path)
        line = str(caught.value)
        assert "\x1b" not in line
        assert "torch.nn.modules.linear.Linear" in line
        assert line.endswith("save a state_dict alone")

    def test_hubs_and_lightning_call_their_files_otherwise(self, torch, tmp_path, save):
        tensors = random_tensors()
        state = {f"model.{key}": torch.from_numpy(value) for key, value in tensors.items()}
        _, expected = import_weights("resnet20", save(tensors), **SMALL)
        for name, content in (("epoch=3.ckpt", {"state_dict": state}), ("weights.bin", state)):
            torch.save(content, tmp_path / name)
            _, variables = import_weights("resnet20", tmp_path / name, **SMALL)
            jax.tree.map(np.testing.assert_array_equal, variables, expected)

    def test_other_contents_are_refused(self, torch, tmp_path):
        path = tmp_path / "weights.pth"
        for content, message in (
            ([1, 2], "holds a list, not a state_dict"),
            ({"lr": 0.1}, "'lr' is a float, not a tensor"),
        ):
            torch.save(content, path)
            with pytest.raises(BadInputError, match=message):
                import_weights("resnet20", path)

    @pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
    def test_damaged_files_are_refused_in_one_line(self, torch, tmp_path, content):
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        with pytest.raises(BadInputError, match=re.escape(str(path))) as caught:
            import_weights("resnet20", path)
        assert "\n" not in str(caught.value)

    def test_a_truncated_file_is_refused(self, torch, tmp_path):
        path = tmp_path / "weights.pth"
        torch.save({"conv1.weight": torch.ones(64, 64)}, path)
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(BadInputError, match="not a whole PyTorch file"):
            import_weights("resnet20", path)


def dump(content, path):
    path.write_bytes(pickle.dumps(content))
