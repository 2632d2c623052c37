"""What training takes at the least, against the memory there is: said before anything compiles.

A lower bound, so that nothing that fits is refused: the weights with what the optimizer keeps of
them, the gradient of the largest kernel, and what the forward pass has to hold for the backward
one. What a compiler adds to it is for the compiler to say.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from cnn_jax import config as configs
from cnn_jax import ops
from cnn_jax.analysis.jaxpr import sub_program
from cnn_jax.analysis.probe import inference
from cnn_jax.config import Config
from cnn_jax.data import sources
from cnn_jax.ops.geometry import pair
from cnn_jax.runs.experiment import Experiment
from cnn_jax.runs.from_config import build_module, input_shape
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.free_memory import host_memory
from cnn_jax.train import optim

LARGE = 512 * 512  # pixels; reading smaller images takes no time that is worth a look ahead
SYNTHETIC_BYTES = 3 * sum(sources.SYNTHETIC_EXAMPLES.values())  # a pixel of all images


class TooLargeError(BadInputError):
    """What would take more memory than there is."""


@dataclasses.dataclass(frozen=True)
class Need:
    """Bytes that a training step takes at the least.

    Attributes:
        weights: parameters, their statistics, the optimizer's state, the running mean, and the
            gradient of the largest parameter.
        activations: of one image.
    """

    weights: int
    activations: int


def estimate(
    module: nn.Module,
    image_shape: Sequence[int],
    *,
    dtype: Any = jnp.float32,
    optimizer: Any = None,
    ema: bool = False,
    frozen: bool = False,
) -> Need:
    """Return what training ``module`` on images ``[H, W, C]`` takes, from its trace alone.

    Args:
        module: the network.
        image_shape: (H, W, C).
        dtype: of the images that it gets.
        optimizer: what keeps a state of the parameters; none if None.
        ema: whether a running mean of the parameters is kept.
        frozen: whether some parameters do not train, so that their layers' inputs and their
            optimizer's state need not be kept.
    """
    x = jax.ShapeDtypeStruct((1, *image_shape), dtype)
    with ops.stock():
        program, (_, variables) = jax.make_jaxpr(
            lambda key, x: module.init_with_output(key, x, **inference(module)), return_shape=True
        )(jax.random.key(0), x)
    params = variables.get("params", {})
    weights = _bytes(variables) + max((_bytes(leaf) for leaf in jax.tree.leaves(params)), default=0)
    if optimizer is not None and not frozen:
        weights += _bytes(jax.eval_shape(optimizer.init, params))
    if ema:
        weights += _bytes(params)
    # A layer holds what goes in and what comes out of it at once; and the gradient of its kernel
    # asks for the input again, when all later layers have run.
    held = _Held({}, 0)
    _walk(program.jaxpr, [object() for _ in program.jaxpr.invars], held)
    return Need(weights, held.most if frozen else max(held.most, sum(held.inputs.values())))


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@dataclasses.dataclass
class _Held:
    """Bytes of the inputs of convolutions and products, each array once; the most at one time."""

    inputs: dict[object, int]
    most: int


def _walk(jaxpr: core.Jaxpr, arrays: Sequence[object], held: _Held) -> list[object]:
    """Note what a program holds; return what stands for its results.

    An object stands for each array, the same one in all sub-programs that the array is passed to;
    ``arrays`` are those of the arguments.
    """
    known: dict[Any, object] = dict(zip(jaxpr.invars, arrays, strict=True))

    def array(atom: Any) -> object:
        return object() if isinstance(atom, core.Literal) else known.setdefault(atom, object())

    for eqn in jaxpr.eqns:
        inner, taken, _ = sub_program(eqn)
        given = [array(atom) for atom in eqn.invars]
        if inner is not None:
            known.update(zip(eqn.outvars, _walk(inner, given[taken], held), strict=False))
        elif eqn.primitive.name in ("conv_general_dilated", "dot_general"):
            size = _bytes(eqn.invars[0].aval)
            held.inputs[given[0]] = size
            held.most = max(held.most, size + _bytes(eqn.outvars[0].aval))
    return [array(atom) for atom in jaxpr.outvars]


def room() -> int | None:
    """Return the bytes that a device of this process has left; None where nobody says."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return host_memory()
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return None
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)


def check_config(config: Config) -> None:
    """Raise ``BadInputError`` where a run cannot fit, before its data are read.

    Only of images that the config itself makes large; ``check_experiment`` looks at all of them,
    when the data have decided the rest.
    """
    section = config.data
    if section.image_size is None:
        return
    pixels = math.prod(pair(section.image_size, "data.image_size"))
    if pixels <= LARGE:
        return
    settled = configs.override(config, ())
    settled.data.classes = section.classes or 1
    settled.data.mean = section.mean or (0.5,)
    data = pixels * SYNTHETIC_BYTES if section.name == sources.SYNTHETIC else 0
    rule = optim.make_optimizer(
        config.optim.name,
        lambda step: 1.0,
        momentum=config.optim.momentum,
        options=configs.ordered(config.optim.options),
    )
    try:
        _check(settled, build_module(settled), rule, data)
    except TooLargeError:
        raise
    except BadInputError:
        if section.mean is not None:  # else it may ask for more channels than the one that is sure
            raise


def check_experiment(experiment: Experiment) -> None:
    """Raise ``BadInputError`` where a run cannot fit, before anything is compiled."""
    _check(experiment.config, experiment.module, experiment.trainer().optimizer, 0)


def _check(config: Config, module: nn.Module, optimizer: Any, data: int) -> None:
    shape = input_shape(config)
    need = estimate(
        module,
        shape,
        dtype=jnp.dtype(config.train.precision),
        optimizer=optimizer,
        ema=config.optim.ema is not None,
        frozen=config.init.source is not None,
    )
    # Devices of one host share its memory.
    hosted = jax.default_backend() == "cpu"
    places = jax.process_count() if hosted else jax.device_count()
    weights = need.weights // (places if config.train.shard_state else 1)
    images = config.data.batch_size // config.optim.accumulate
    activations = need.activations * -(-images // places)
    there = room()
    if there is None or weights + activations + data <= there:
        return
    side = "x".join(map(str, shape[:2]))
    uses = {"weights and their optimizer": weights, "layers": activations, "data": data}
    parts = ", ".join(f"{_gib(size)} the {name}" for name, size in uses.items() if size)
    raise TooLargeError(
        f"data.image_size, data.batch_size, model: {images} images of {side} in "
        f"{config.model.name!r} take at least {_gib(sum(uses.values()))} of memory ({parts}), more "
        f"than the {_gib(there)} that there are; make one of them smaller"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"
