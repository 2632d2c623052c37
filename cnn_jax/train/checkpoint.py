"""Checkpoints: atomic, asynchronous, the latest and the best. Only this module knows Orbax."""

import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from cnn_jax.distributed import is_first, wait_for_all
from cnn_jax.errors import BadInputError
from cnn_jax.train.state import TrainState, Variables

# The network apart from the rest, so that it is read without knowing the optimizer.
NETWORK, EMA, TRAINING, NOTES = "network", "ema", "training", "notes"

# Orbax numbers operations by process: two saves at once mistake each other's folders for their own.
# So runs that train in threads of one process take turns, and a save is over before another run's.
_turn = threading.RLock()
_saving: list[ocp.CheckpointManager] = []  # the one that may still be saving, if any


def _finish() -> None:
    while _saving:
        _saving.pop().wait_until_finished()


class Checkpoints:
    """The checkpoints of one run, by step. Use as a context: leaving it waits for the last save."""

    def __init__(self, directory: Path, *, keep: int = 1, create: bool = True):
        policy = preservation_policy
        best = policy.BestN(
            get_metric_fn=lambda metrics: metrics["accuracy"],
            n=1,
            keep_checkpoints_without_metrics=False,
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy.AnyPreservationPolicy([policy.LatestN(keep), best]),
            cleanup_tmp_directories=create,
            create=create,
        )
        with _turn:
            self._manager = ocp.CheckpointManager(
                directory.resolve(), options=options, item_names=(NETWORK, EMA, TRAINING, NOTES)
            )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        with _turn:
            _finish()  # an unfinished save would be lost silently
            self._manager.close()

    def latest(self) -> int | None:
        """Return the newest step, or None."""
        return self._manager.latest_step()

    def save(
        self, step: int, state: TrainState, notes: dict[str, Any], metrics: dict[str, Any] | None
    ) -> None:
        """Start saving; ``metrics`` are the validation's at this step, where there are any."""
        self._save(step, _split(state), notes, metrics)

    def save_network(self, variables: Variables) -> None:
        """Save a network that was not trained here, as step 0."""
        self._save(0, {NETWORK: variables}, {}, None)

    def _save(self, step: int, trees: dict[str, Any], notes: Any, metrics: Any) -> None:
        # Orbax restores a flipped bit as a wrong value without a word, hence the checksums.
        sums = {name: _checksums(tree) for name, tree in trees.items()}
        items: dict[str, Any] = {name: ocp.args.StandardSave(x) for name, x in trees.items()}
        items[NOTES] = ocp.args.JsonSave({"notes": notes, "crc32": sums})
        with _turn:
            if self._manager not in _saving:
                _finish()
                _saving.append(self._manager)
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def restore(self, like: TrainState) -> tuple[int, TrainState, dict[str, Any]] | None:
        """Return (step, state, notes) of the newest whole checkpoint, or None if there is none.

        ``like`` gives shapes, types and shardings. Damaged checkpoints are reported on stderr and
        set aside; the one before is taken.

        Raises:
            BadInputError: there are checkpoints, and all of them are damaged.
        """
        trees = _split(like)
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                loaded, notes = self._load(step, trees)
            except Exception as error:  # a damaged file raises whatever its reader meets
                damaged[step] = f"checkpoint {step} is damaged ({str(error).splitlines()[0]})"
                continue
            for other, line in damaged.items():
                if is_first():
                    print(f"{line}; taking that of step {step}", file=sys.stderr)
                    folder = Path(self._manager.directory)
                    (folder / str(other)).rename(folder / f"damaged-{other}")
            if damaged:
                wait_for_all("damaged checkpoints set aside")
            self._manager.reload()
            parts = loaded[TRAINING] | {"variables": loaded[NETWORK], "ema": loaded.get(EMA, {})}
            state = like.replace(**parts)
            return step, state, notes
        if damaged:
            raise BadInputError(
                f"{str(self._manager.directory)!r}: no checkpoint is whole: "
                + "; ".join(damaged.values())
            )
        return None

    def choose(self, step: int | None) -> int:
        """Return ``step`` if there is a checkpoint of it, or the newest if None."""
        steps = sorted(self._manager.all_steps())
        if not steps:
            raise BadInputError(f"{str(self._manager.directory)!r} holds no checkpoint")
        if step is not None and step not in steps:
            have = ", ".join(map(str, steps))
            raise BadInputError(f"--step={step}: there is no such checkpoint, only {have}")
        return steps[-1] if step is None else step

    def restore_network(self, step: int, like: Variables, *, ema: bool = False) -> Variables:
        """Return the network's variables at a step, with the parameters' running mean if ``ema``.

        A damaged checkpoint raises ``BadInputError``.
        """
        # Placed here, wherever the devices that saved it are.
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), like)
        trees = {NETWORK: like} | ({EMA: like["params"]} if ema else {})
        try:
            loaded = self._load(step, trees)[0]
            return loaded[NETWORK] | ({"params": loaded[EMA]} if ema else {})
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise BadInputError(
                f"{str(self._manager.directory)!r}: checkpoint {step} is damaged ({reason})"
            ) from error

    def _load(self, step: int, like: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        items: dict[str, Any] = {
            name: ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, tree))
            for name, tree in like.items()
        }
        items[NOTES] = ocp.args.JsonRestore()
        with _turn:
            loaded = self._manager.restore(step, args=ocp.args.Composite(**items))
        for name in like:
            expected = loaded[NOTES]["crc32"][name]
            for path, found in _checksums(loaded[name]).items():
                if found != expected[path]:
                    raise ValueError(f"the checksum of {name}{path} is wrong")
        return {name: loaded[name] for name in like}, loaded[NOTES]["notes"]


def _split(state: TrainState) -> dict[str, Any]:
    rest = {name: getattr(state, name) for name in state.__dataclass_fields__}
    trees = {NETWORK: rest.pop("variables")}
    if ema := rest.pop("ema"):
        trees[EMA] = ema
    return trees | {TRAINING: rest}


def _checksums(tree: Any) -> dict[str, int]:
    """Return the crc32 of each array's bytes, by its path."""
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(_whole(leaf)).tobytes())
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _whole(leaf: Any) -> np.ndarray:
    """Return an array as every process has it, also where its pieces lie on several."""
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)
