"""Whether images are converted for an imported network: chosen, found in the weights, said."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import cnn_jax
from cnn_jax import config
from cnn_jax.commands import main
from cnn_jax.models.googlenet import from_imagenet_statistics
from cnn_jax.runs import initialise
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer import import_weights
from cnn_jax.transfer.transform_input import CONVERTED, evidence
from tests.fixtures import torch_tensors

RNG = np.random.default_rng(0)


def images(count: int = 24, size: int = 32) -> jax.Array:
    """Return images whose colours vary together and slowly, standardised, [N, H, W, 3]."""
    coarse = RNG.normal(size=(count, 4, 4, 1)) + 0.4 * RNG.normal(size=(count, 4, 4, 3))
    smooth = jax.image.resize(jnp.asarray(coarse), (count, size, size, 3), "linear")
    varied = smooth + 0.1 * jnp.asarray(RNG.normal(size=smooth.shape))
    return (varied - varied.mean((0, 1, 2))) / varied.std((0, 1, 2))


def seen(kernel: np.ndarray, x: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of a convolution's [O, 3, kh, kw] outputs over a batch."""
    y = jax.lax.conv_general_dilated(
        x, jnp.asarray(kernel.transpose(2, 3, 1, 0), x.dtype), (2, 2), "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    return np.asarray(y.mean((0, 1, 2))), np.asarray(y.var((0, 1, 2)))


@pytest.mark.parametrize("offset", [0.0, 0.5, -0.5])
def test_a_first_layer_tells_converted_images_from_standardised_ones(offset):
    kernel = RNG.normal(size=(64, 3, 7, 7)) * 0.05
    x = images() + offset  # brighter or darker than ImageNet's by half of its spread
    as_it_is, converted = (seen(kernel, y) for y in (x, from_imagenet_statistics(x)))
    found = evidence(kernel, *as_it_is)
    assert found.converted is False
    assert found.mean is not None
    np.testing.assert_allclose(found.mean, [offset] * 3, atol=0.05)
    found = evidence(kernel, *converted)
    assert found.converted is True
    assert found.mean is not None
    np.testing.assert_allclose(found.mean, CONVERTED + 0.45 * offset, atol=0.05)


def test_statistics_of_few_batches_or_none_say_nothing():
    kernel = RNG.normal(size=(64, 3, 7, 7)) * 0.05
    mean, variance = seen(kernel, from_imagenet_statistics(images()))
    assert evidence(kernel, np.zeros(64), np.ones(64)).converted is None  # built, never run
    for batches in (1, 2, 3):  # PyTorch's momentum: a tenth of each batch
        left = 0.9**batches
        early = (1 - left) * mean, left + (1 - left) * variance
        assert evidence(kernel, *early).converted is None
    assert evidence(kernel, RNG.normal(size=64), variance).converted is None  # drawn at random
    assert evidence(kernel, np.full(64, np.nan), variance).converted is None
    assert evidence(np.zeros((64, 3, 7, 7)), mean, variance).converted is None
    assert evidence(kernel, mean[:5], variance[:5]).converted is None


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    made = torch_tensors("googlenet", 2)
    made["conv1.conv.weight"] = RNG.normal(size=(64, 3, 7, 7)).astype(np.float32)
    return made


def save(folder, tensors, converted: bool | None):
    sums = tensors["conv1.conv.weight"].sum((2, 3))
    mean = {True: CONVERTED, False: np.full(3, 0.05), None: np.zeros(3)}[converted]
    path = folder / f"{converted}.safetensors"
    changed = {
        "conv1.bn.running_mean": (sums @ mean).astype(np.float32),
        "conv1.bn.running_var": np.full(64, 0.1, np.float32),
    }
    safetensors.numpy.save_file(tensors | changed, path)
    return path


@pytest.mark.parametrize(
    ("trained", "choice", "is_so", "line"),
    [
        (None, None, True, "transform_input=True is assumed, as torchvision's trained weights"),
        (None, False, False, "transform_input=False, as chosen; the weights do not say"),
        (True, None, True, "transform_input=True, which the weights say: .* (-0.03, -0.09, -0.19)"),
        (False, None, False, "transform_input=False, which the weights say: .* (0.05, 0.05, 0.05)"),
        (True, True, True, "transform_input=True, as chosen; the weights say so too"),
        (False, True, True, "transform_input=True, as chosen, but the weights contradict it"),
        (True, False, False, "transform_input=False, as chosen, but the weights contradict it"),
    ],
)
def test_the_choice_is_said_in_one_line(tensors, tmp_path, capsys, trained, choice, is_so, line):
    fields = {} if choice is None else {"transform_input": choice}
    module, _ = import_weights("googlenet", save(tmp_path, tensors, trained), **fields)
    assert getattr(module, "transform_input") is is_so  # noqa: B009 - no field of nn.Module
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    for part in line.split(" .* "):
        assert part in told[0]
    if choice is None:
        assert "choose with --transform_input=true|false" in told[0]


def test_other_choices_are_refused_and_other_networks_are_silent(tensors, tmp_path, capsys):
    path = save(tmp_path, tensors, None)
    with pytest.raises(BadInputError, match=r"^transform_input is 1; it has to be True or False$"):
        import_weights("googlenet", path, transform_input=1)
    grey = {"conv1.conv.weight": tensors["conv1.conv.weight"][:, :1].copy()}
    safetensors.numpy.save_file(tensors | grey, path)
    module, _ = import_weights("googlenet", path)
    assert getattr(module, "transform_input") is False  # noqa: B009 - no field of nn.Module
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("flag", "is_so"), [([], False), (["--transform_input=true"], True)])
def test_the_command_chooses_and_its_report_follows(
    tensors, tmp_path, capsys, monkeypatch, flag, is_so
):
    compared = []

    def report(name, file, **fields):
        compared.append(fields)
        raise BadInputError("not here")

    monkeypatch.setattr(cnn_jax.transfer, "import_report", report)
    path, folder = save(tmp_path, tensors, False), tmp_path / "run"
    flags = ["--model=googlenet", f"--from={path}", f"--workdir={folder}", *flag]
    assert main.main(["import-weights", *flags]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["transform_input"] is is_so
    assert f"googlenet: transform_input={is_so}, " in printed.err
    assert ("contradict" in printed.err) == is_so
    assert compared == [{"transform_input": is_so}]
    held = json.loads((folder / "config.json").read_text())
    assert held["model"]["transform_input"] is is_so


def test_a_run_that_starts_from_weights_notes_how_its_images_are_converted(tensors, tmp_path):
    source = config.base_config()
    source.model.name = "googlenet"
    config.add_fields(source.model, cnn_jax.models.fields("googlenet"))
    source.init.source = str(save(tmp_path, tensors, True))
    assert source.model.transform_input is False
    (note,) = initialise.read_source(source).notes
    assert "transform_input=False, as chosen, but the weights contradict it" in note
    assert "choose with --config.model.transform_input=true|false" in note
    source.model.transform_input = True
    (note,) = initialise.read_source(source).notes
    assert "the weights say so too" in note
