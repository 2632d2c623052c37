"""Logits, auxiliary logits and gradients of torchvision's networks, with random weights."""

import importlib.util

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.models import fields
from cnn_jax.transfer.reference import reference_network
from cnn_jax.transfer.torch_names import NAMINGS
from cnn_jax.transfer.weights import convert

torch = pytest.importorskip("torch")
if importlib.util.find_spec("torchvision") is None:  # import_torchvision mends what is importable
    pytest.skip("needs torchvision", allow_module_level=True)

IMAGENET = [name for name, layout in NAMINGS.items() if layout.size > 32]
CIFAR = ["resnet20", "resnet56"]
CLASSES = 7
WITH_HEADS = ("googlenet", "inception_v3")
# A second size, odd or not a multiple of the strides, where averages and ceilings matter.
SECOND = {"alexnet": 200, "inception_v3": 107, "resnet20": 27, "resnet56": 27}


def randomised(name, seed=0, **fields):
    """Return a PyTorch network whose parameters and statistics are all drawn at random."""
    if name in WITH_HEADS:
        fields = {"aux": True} | fields
    network = reference_network(name, num_classes=CLASSES, **fields)
    generator = torch.Generator().manual_seed(seed)
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(value.shape, generator=generator)
        if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        elif value.ndim == 1:
            value.copy_(0.2 * noise)
        else:
            value.copy_(noise * (2 / value[0].numel()) ** 0.5)
    return network


def imported(name, network, **fields):
    tensors = {
        key: value.detach().numpy()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    return convert(name, tensors, NAMINGS[name], "memory", **fields)


def images(size, count=2):
    return np.random.default_rng(1).standard_normal((count, size, size, 3))


def assert_relative(ours, theirs, tolerance, what):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    off = np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs))
    assert off <= tolerance, f"{what}: {off:.1e} of the largest value"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IMAGENET, *CIFAR])
@pytest.mark.parametrize("nominal", [True, False])
def test_logits_in_evaluation_mode(name, nominal):
    fields = {"transform_input": True} if name in WITH_HEADS else {}
    network = randomised(name, **fields)
    module, variables = imported(name, network, **fields)
    x = images(NAMINGS[name].size if nominal else SECOND.get(name, 75)).astype(np.float32)
    with torch.no_grad():
        theirs = network(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))
    ours = jax.jit(lambda v, x: module.apply(v, x, train=False))(variables, x)
    assert_relative(ours, theirs, 1e-4, "logits")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IMAGENET, *CIFAR])
def test_gradients_in_training_mode_in_float64(name):
    network = randomised(name).double().train()
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    layout = NAMINGS[name]
    # The auxiliary head of Inception v3 takes nothing smaller than 299 pixels.
    size = {"inception_v3": 299, "resnet20": 16, "resnet56": 16}.get(name, 65)
    size = 33 if name.startswith("vgg") else size
    x, labels = images(size, 3), np.array([0, 3, 6])
    inputs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    outputs = network(inputs)
    # torchvision hands the heads out from last to first.
    outputs = (outputs[0], *outputs[:0:-1]) if name in WITH_HEADS else (outputs,)
    losses = [torch.nn.functional.cross_entropy(y, torch.from_numpy(labels)) for y in outputs]
    (losses[0] + 0.3 * sum(losses[1:])).backward()
    weights = dict(network.named_parameters())

    off = {"dropout": 0.0, "aux_dropout": 0.0, "transform_input": False}
    known = {field: value for field, value in off.items() if field in fields(name)}
    with jax.enable_x64(True):
        module, variables = imported(name, network, dtype=jnp.float64, **known)
        params = flax.traverse_util.flatten_dict(variables["params"])
        kernels = {layout.module(path[:-1]): path for path in params if path[-1] == "kernel"}
        ends = [kernels[layout.stem], kernels[layout.head]]

        @jax.jit  # which is handed all parameters, as constants would be compiled into it
        def slopes(x, kernels, params):
            def loss(x, kernels):
                changed = params | dict(zip(ends, kernels, strict=True))
                changed = flax.traverse_util.unflatten_dict(changed)
                outputs, _ = module.apply(
                    variables | {"params": changed}, x, train=True, mutable=["batch_stats"]
                )
                heads = outputs if isinstance(outputs, tuple) else (outputs,)
                rows = jnp.arange(len(labels))
                losses = [-jax.nn.log_softmax(y)[rows, labels].mean() for y in heads]
                return losses[0] + 0.3 * sum(losses[1:]), heads

            return jax.grad(loss, (0, 1), has_aux=True)(x, kernels)

        (by_input, by_kernels), heads = slopes(
            jnp.asarray(x), [params[end] for end in ends], params
        )
        for ours, theirs in zip(heads, outputs, strict=True):
            assert_relative(ours, theirs.detach(), 1e-9, "logits")
        assert_relative(by_input, inputs.grad.permute(0, 2, 3, 1), 1e-6, "input")
        for ours, key in zip(by_kernels, (layout.stem, layout.head), strict=True):
            theirs = weights[f"{key}.weight"].grad.numpy()
            axes = (2, 3, 1, 0) if theirs.ndim == 4 else (1, 0)
            assert_relative(ours, theirs.transpose(axes), 1e-6, key)
