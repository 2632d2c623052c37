"""Checkpoints: atomic, asynchronous, the latest and the best. Only this module knows Orbax."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax
import orbax.checkpoint as ocp

from cnn_jax.runtime import json_file
from cnn_jax.runtime.distributed import is_first, wait_for_all
from cnn_jax.runtime.errors import BadInputError, first_line
from cnn_jax.train.checksums import checksums
from cnn_jax.train.progress import say
from cnn_jax.train.retention import LatestAndBest, best_of
from cnn_jax.train.saving import SaveError, quiet
from cnn_jax.train.state import TrainState, Variables

# The network apart from the rest, so that it is read without knowing the optimizer.
NETWORK, EMA, TRAINING, NOTES = "network", "ema", "training", "notes"
LATEST, BEST = "latest", "best"
Step = int | str | None  # a number, LATEST (also None) or BEST

# 2: the running mean is of all variables, and the notes have the validation accuracy.
# Before that, unnumbered: the mean is of the parameters alone.
FORMAT = 2


class _Held(TypedDict):
    """The item NOTES."""

    notes: dict[str, Any]
    crc32: dict[str, dict[str, int]]
    # On the validation part, where it was evaluated: what the best checkpoint has most of, which
    # is the accuracy unless the task says otherwise.
    accuracy: NotRequired[float | None]


class OldMeanError(BadInputError):
    """A running mean of parameters that lacks the statistics that belong to it."""


# Orbax numbers operations by process: two saves at once mistake each other's folders for their own.
# So runs that train in threads of one process take turns, and a save is over before another run's.
_turn = threading.RLock()
_saving: "list[Checkpoints]" = []  # those that may still be saving: one, or none


class Checkpoints:
    """The checkpoints of one run, by step. Use as a context: leaving it waits for the last save."""

    def __init__(self, directory: Path, *, keep: int = 1, create: bool = True):
        quiet()
        self._accuracies: dict[int, float] = {}  # on the validation part, by step
        self._accuracies_are_read = False
        options = ocp.CheckpointManagerOptions(
            preservation_policy=LatestAndBest(keep, self._accuracies),
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
        with _turn, self._saving_errors():
            try:
                self._wait()  # an unfinished save would be lost silently
            finally:
                self._manager.close()

    @property
    def folder(self) -> Path:
        """Where they are."""
        return Path(self._manager.directory)

    def latest(self) -> int | None:
        """Return the newest step, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, notes: dict[str, Any], merit: float | None) -> None:
        """Start saving; ``merit`` is what the best checkpoint has most of, where it is known.

        Raises:
            SaveError: this save, or the one before, cannot be written.
        """
        self._save(step, _split(state), notes, merit)

    def save_network(self, variables: Variables) -> None:
        """Save a network that was not trained here, as step 0."""
        self._save(0, {NETWORK: variables}, {}, None)

    def _save(self, step: int, trees: dict[str, Any], notes: Any, accuracy: float | None) -> None:
        # Orbax restores a flipped bit as a wrong value without a word, hence the checksums.
        sums = {name: checksums(tree) for name, tree in trees.items()}
        held = {"notes": notes, "crc32": sums, "accuracy": accuracy}
        items: dict[str, Any] = {name: ocp.args.StandardSave(x) for name, x in trees.items()}
        items[NOTES] = ocp.args.JsonSave(json_file.sealed(held, version=FORMAT))
        self._read_accuracies()
        with _turn, self._saving_errors():
            for other in list(_saving):
                if other is not self:
                    with contextlib.suppress(SaveError):  # its own run is told, by its next call
                        other._wait()
            if accuracy is not None:
                self._accuracies[step] = accuracy
            if self not in _saving:
                _saving.append(self)
            self._manager.save(step, args=ocp.args.Composite(**items))

    def _wait(self) -> None:
        """Wait until what is being saved is whole."""
        if self in _saving:
            _saving.remove(self)
        with self._saving_errors():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _saving_errors(self) -> Iterator[None]:
        """Turn whatever Orbax raises when it cannot write into one line."""
        try:
            yield
        except SaveError:
            raise
        except Exception as error:
            whole = [int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()]
            raise SaveError(self.folder, max(whole, default=None), error) from error

    def restore(self, like: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """Return (step, state, notes) of the newest whole checkpoint, or None if there is none.

        ``like`` gives shapes, types and shardings. Damaged checkpoints are reported on stderr and
        set aside; the one before is taken.

        Raises:
            OldMeanError: the run keeps a mean that lacks BatchNorm's statistics.
            BadInputError: there are checkpoints, and all of them are damaged.
        """
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                loaded, notes = self._load(step, _split(like))
            except OldMeanError:
                raise
            except Exception as error:  # a damaged file raises whatever its reader meets
                damaged[step] = f"checkpoint {step} is damaged ({first_line(error)})"
                continue
            self._set_aside(damaged, step)
            return step, _joined(like, loaded), notes
        if damaged:
            raise BadInputError(
                f"{str(self.folder)!r}: no checkpoint is whole: " + "; ".join(damaged.values())
            )
        return None

    def _set_aside(self, damaged: dict[int, str], taken: int) -> None:
        """Report damaged checkpoints and keep them under other names."""
        for step, line in damaged.items():
            if is_first():
                say(f"{line}; taking that of step {taken}")
                names = [f"damaged-{step}", *(f"damaged-{step}-{n}" for n in range(2, 1000))]
                free = next(name for name in names if not (self.folder / name).exists())
                (self.folder / str(step)).rename(self.folder / free)
            self._accuracies.pop(step, None)
        if damaged:
            wait_for_all("damaged checkpoints set aside")
            self._manager.reload()

    def choose(self, step: Step) -> int:
        """Return the step of the checkpoint that ``step`` names.

        Args:
            step: its number; ``latest`` or None; ``best`` for the one with the best validation
                accuracy, of those that are kept.

        Raises:
            BadInputError: there is no such checkpoint, or none that is known to be the best.
        """
        steps = sorted(self._manager.all_steps())
        if not steps:
            raise BadInputError(f"{str(self.folder)!r} holds no checkpoint")
        if step is None or step == LATEST:
            return steps[-1]
        if step == BEST:
            self._read_accuracies()
            best = best_of(steps, self._accuracies)
            if best is None:
                raise BadInputError(
                    "--step=best: no checkpoint was validated; name one of "
                    + ", ".join(map(str, steps))
                )
            return best
        if step not in steps:
            have = ", ".join(map(str, steps))
            raise BadInputError(f"--step={step}: there is no such checkpoint, only {have}")
        return int(step)

    def restore_network(self, step: int, like: Variables, *, ema: bool = False) -> Variables:
        """Return the network's variables at a step, or those of the averaged network if ``ema``.

        Raises:
            OldMeanError: the mean that is kept lacks BatchNorm's statistics.
            BadInputError: the checkpoint is damaged.
        """
        # Placed here, wherever the devices that saved it are.
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here), like)
        name = EMA if ema else NETWORK
        try:
            return self._load(step, {name: like})[0][name]
        except OldMeanError:
            raise
        except Exception as error:
            raise BadInputError(
                f"{str(self.folder)!r}: checkpoint {step} is damaged ({first_line(error)})"
            ) from error

    def _load(self, step: int, like: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        held = self._held(step)
        old = held.get(json_file.FORMAT, 0) < FORMAT and EMA in like
        if old and set(like[EMA]) != {"params"}:
            raise OldMeanError(
                f"{str(self.folder)!r}: the running mean in checkpoint {step} is of the parameters "
                "alone; without BatchNorm's statistics of its own it is no network (it was "
                "saved by an earlier version of cnn-jax)"
            )
        if old:
            like = like | {EMA: like[EMA]["params"]}
        items: dict[str, Any] = {
            name: ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, tree))
            for name, tree in like.items()
        }
        with _turn:
            loaded = self._manager.restore(step, args=ocp.args.Composite(**items))
        for name in like:
            expected = held["crc32"][name]
            for path, found in checksums(loaded[name]).items():
                if found != expected[path]:
                    raise ValueError(f"the checksum of {name}{path} is wrong")
        found = {name: loaded[name] for name in like}
        return found | ({EMA: {"params": found[EMA]}} if old else {}), held["notes"]

    def _held(self, step: int) -> Any:
        """Return what the item NOTES of a step holds, as it was written."""
        with _turn:
            items = ocp.args.Composite(**{NOTES: ocp.args.JsonRestore()})
            held = self._manager.restore(step, args=items)[NOTES]
        where = self.folder / str(step) / NOTES
        text = json.dumps(held)
        return json_file.parse(text, _Held, "a checkpoint's notes", source=where, version=FORMAT)

    def _read_accuracies(self) -> None:
        """Learn what the checkpoints of earlier processes note."""
        steps = [] if self._accuracies_are_read else self._manager.all_steps()
        self._accuracies_are_read = True
        for step in steps:
            # A damaged one is told where it is asked for.
            with contextlib.suppress(Exception):
                accuracy = self._held(step).get("accuracy")
                if accuracy is not None:
                    self._accuracies[step] = accuracy


def _split(state: Any) -> dict[str, Any]:
    """Return the items that a state is kept in; one's own state is no network, but training."""
    rest = {name: getattr(state, name) for name in state.__dataclass_fields__}
    if not isinstance(state, TrainState):
        return {TRAINING: rest}
    trees = {NETWORK: rest.pop("variables")}
    if mean := state.averaged:
        trees[EMA] = mean
    del rest["ema"], rest["ema_rest"]
    return trees | {TRAINING: rest}


def _joined(like: Any, items: dict[str, Any]) -> Any:
    """Return the state that ``_split`` made items of, of the class of ``like``."""
    parts = dict(items[TRAINING])
    if isinstance(like, TrainState):
        mean = items.get(EMA, {})
        parts |= {"variables": items[NETWORK], "ema": mean.get("params", {})}
        parts["ema_rest"] = {name: part for name, part in mean.items() if name != "params"}
    return like.replace(**parts)
