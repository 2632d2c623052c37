"""A network opened up: what its layers put out, read and changed while it runs.

A layer is any submodule, named by its path, such as stage2_block1/conv1; its output is what its
``__call__`` returns. Linen's method interception gives it, so a user's module is as open as the
zoo's.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.analysis import execution
from cnn_jax.nn.calling import mode
from cnn_jax.runtime.errors import BadInputError


def inference(module: nn.Module) -> dict[str, Any]:
    """Return the keyword arguments that a module's call takes in inference."""
    return mode(module, train=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """A network with its variables, in inference, for images of ``image_shape`` (H, W, C).

    Images are normalised, as the network takes them.
    """

    module: nn.Module
    variables: Any
    image_shape: tuple[int, ...]

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map images ``[N, H, W, C]`` to logits ``[N, classes]``."""
        return self.read(x, ())[0]

    def read(
        self, x: jax.Array, layers: Sequence[str], add: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return logits ``[N, classes]`` and the outputs of ``layers``, by name.

        Args:
            x: images ``[N, H, W, C]``.
            layers: whose outputs to return, ``[N, H', W', C']`` or ``[N, C']``; of a layer that is
                called several times, the first.
            add: what to add to layers' outputs before they go on; a zero to differentiate by.
        """
        found: dict[str, jax.Array] = {}
        add = add or {}

        def intercept(call, args, kwargs, context):
            result = call(*args, **kwargs)
            path = "/".join(context.module.path)
            if context.method_name == "__call__" and path not in found:
                if path in add:
                    result = result + add[path]
                if path in layers or path in add:
                    found[path] = result
            return result

        with nn.intercept_methods(intercept):
            logits: Any = self.module.apply(self.variables, x, **inference(self.module))
        return logits, {name: found[name] for name in layers}

    @functools.cached_property
    def layers(self) -> dict[str, tuple[int, ...]]:
        """The shape of each layer's output for one image, (H', W', C') or (C',), as they end."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, call in self._calls:
            assert call.shape is not None
            shapes.setdefault(name, call.shape[1:])
        return shapes

    @functools.cached_property
    def _calls(self) -> list[tuple[str, execution.Call]]:
        x = jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)
        run = functools.partial(self.module.apply, self.variables, **inference(self.module))
        return [
            ("/".join(call.path), call)
            for call in execution.calls(run, x)
            if call.path and call.method == "__call__" and call.shape is not None
        ]

    def before_last(self) -> str:
        """Return the layer whose output the last one is given; the only one of a network of one.

        Dropout, which changes nothing in inference, is passed over.
        """
        names = [name for name, call in self._calls if "Dropout" not in call.kind]
        return self.layer(names[max(len(names) - 2, 0)] if names else None)

    @property
    def maps(self) -> dict[str, tuple[int, ...]]:
        """The layers that put out images of more than one pixel."""
        return {n: s for n, s in self.layers.items() if len(s) == 3 and s[0] * s[1] > 1}

    def layer(self, name: str | None = None, *, maps: bool = False) -> str:
        """Return ``name`` if there is such a layer; the last one if None.

        ``maps`` asks for a layer that puts out images. Raises ``BadInputError`` with the list.
        """
        known = self.maps if maps else self.layers
        if not known:
            what = "puts out images" if maps else "is named"
            raise BadInputError(f"--layer: no layer of {type(self.module).__name__} {what}")
        if name is None:
            return list(known)[-1]
        if name not in known:
            raise BadInputError(f"--layer={name}: no such layer; there are {', '.join(known)}")
        return name


def unit_of(layer: str, shape: Sequence[int], unit: int) -> int:
    """Return ``unit`` if the layer of that shape has such a channel, or raise ``BadInputError``."""
    if not 0 <= unit < shape[-1]:
        raise BadInputError(f"--unit={unit}: {layer} has the units 0 to {shape[-1] - 1}")
    return unit
