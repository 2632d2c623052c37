"""One network's weights in another: what is taken, what starts anew, what is left out."""

import dataclasses
from typing import Any

import numpy as np
from flax import traverse_util

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.partial import Path, Paths
from cnn_jax.transfer.regimes import AUXILIARY, Stages, named


@dataclasses.dataclass(frozen=True)
class Graft:
    """Paths include the collection: ('params', 'conv1', 'kernel').

    Attributes:
        taken: what the network takes from its source.
        anew: what it draws itself -> why.
        left_out: what the source has beside.
    """

    taken: tuple[Path, ...]
    anew: dict[Path, str]
    left_out: tuple[Path, ...]

    @property
    def drawn(self) -> Paths:
        """Return the parameters that start anew, without the collection."""
        return frozenset(path[1:] for path in self.anew if path[0] == "params")


def graft(
    source: Any, target: Any, network: Stages, restart: tuple[str, ...], name: str
) -> tuple[Graft, dict[str, Any]]:
    """Compare a source's variables with a network's, and take over those that fit.

    The last stage's layers, the classifier and the auxiliary heads, start anew where their shapes
    differ, as those of another number of classes do, and heads may be missing on either side. Any
    other difference has to be named in ``restart``.

    Args:
        source: variables, arrays.
        target: the network's variables, or their shapes and types.
        network: its stages.
        restart: patterns of what starts anew in any case.
        name: of the source, for errors.

    Returns:
        The comparison, and the variables taken, in the target's types.

    Raises:
        BadInputError: a pattern that matches nothing, weights of another architecture, or nothing
            that can be taken.
    """
    held: dict[Path, Any] = traverse_util.flatten_dict(source)  # type: ignore[assignment]
    wanted: dict[Path, Any] = traverse_util.flatten_dict(target)  # type: ignore[assignment]
    everything = frozenset(path[1:] for path in wanted)
    chosen = named(restart, everything, "init.restart", network)
    last = {path[:-1] for path in list(network.values())[-1]}
    misfits = _misfits(held, wanted)
    # A layer starts anew as a whole: its bias belongs to its kernel.
    replaced = {path[1:-1] for path in misfits if path[1:-1] in last}
    anew: dict[Path, str] = {}
    for path in wanted:
        why = misfits.get(path)
        if path[1:] in chosen:
            anew[path] = "init.restart"
        elif path[1:-1] in replaced:
            anew[path] = why or "with its layer"
        elif why is not None:
            raise BadInputError(
                f"init.source: {name} does not fit: {'/'.join(path[1:])}: {why}; take weights of "
                "this network, or name what starts anew in init.restart"
            )
    for path in held:
        if path not in wanted and not path[1].startswith(AUXILIARY):
            raise BadInputError(
                f"init.source: {name} has {'/'.join(path[1:])}, which this network lacks; take "
                "weights of this network"
            )
    taken = tuple(path for path in wanted if path not in anew)
    if not taken:
        raise BadInputError(f"init.restart leaves nothing to take from {name}")
    left_out = tuple(path for path in held if path not in taken)
    given = {path: np.asarray(held[path], wanted[path].dtype) for path in taken}
    return Graft(taken, anew, left_out), traverse_util.unflatten_dict(given)


def _misfits(held: dict[Path, Any], wanted: dict[Path, Any]) -> dict[Path, str]:
    """Return what the source cannot give -> why."""
    found = {}
    for path, array in wanted.items():
        if path not in held:
            found[path] = "the source lacks it"
        elif held[path].shape != array.shape:
            found[path] = f"{list(held[path].shape)} there, {list(array.shape)} here"
    return found
