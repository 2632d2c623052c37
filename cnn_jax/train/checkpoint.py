"""Checkpoints: atomic, asynchronous, the latest and the best. Only this module knows Orbax."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from cnn_jax.errors import BadInputError
from cnn_jax.train.state import TrainState, Variables

# The network apart from the rest, so that it is read without knowing the optimizer.
NETWORK, TRAINING, NOTES = "network", "training", "notes"


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
        self._manager = ocp.CheckpointManager(
            directory.resolve(), options=options, item_names=(NETWORK, TRAINING, NOTES)
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.wait_until_finished()  # an unfinished save would be lost silently
        self._manager.close()

    def latest(self) -> int | None:
        """Return the newest step, or None."""
        return self._manager.latest_step()

    def save(
        self, step: int, state: TrainState, notes: dict[str, Any], metrics: dict[str, Any] | None
    ) -> None:
        """Start saving; ``metrics`` are the validation's at this step, where there are any."""
        network, training = _split(state)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                **{
                    NETWORK: ocp.args.StandardSave(network),
                    TRAINING: ocp.args.StandardSave(training),
                    NOTES: ocp.args.JsonSave(notes),
                }
            ),
            metrics=metrics,
        )

    def save_network(self, variables: Variables) -> None:
        """Save a network that was not trained here, as step 0."""
        args = ocp.args.Composite(**{NETWORK: ocp.args.StandardSave(variables)})
        self._manager.save(0, args=args)

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Return (state, notes); ``like`` gives shapes, types and shardings."""
        network, training = _split(jax.tree.map(ocp.utils.to_shape_dtype_struct, like))
        loaded = self._manager.restore(
            step,
            args=ocp.args.Composite(
                **{
                    NETWORK: ocp.args.StandardRestore(network),
                    TRAINING: ocp.args.StandardRestore(training),
                    NOTES: ocp.args.JsonRestore(),
                }
            ),
        )
        return like.replace(variables=loaded[NETWORK], **loaded[TRAINING]), loaded[NOTES]

    def choose(self, step: int | None) -> int:
        """Return ``step`` if there is a checkpoint of it, or the newest if None."""
        steps = sorted(self._manager.all_steps())
        if not steps:
            raise BadInputError(f"{str(self._manager.directory)!r} holds no checkpoint")
        if step is not None and step not in steps:
            have = ", ".join(map(str, steps))
            raise BadInputError(f"--step={step}: there is no such checkpoint, only {have}")
        return steps[-1] if step is None else step

    def restore_network(self, step: int, like: Variables) -> Variables:
        """Return the network's variables at a step."""
        like = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(**{NETWORK: ocp.args.StandardRestore(like)})
        return self._manager.restore(step, args=args)[NETWORK]


def _split(state: TrainState) -> tuple[Variables, dict[str, Any]]:
    rest = {name: getattr(state, name) for name in state.__dataclass_fields__}
    return rest.pop("variables"), rest
