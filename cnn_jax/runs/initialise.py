"""Where a run's weights come from, as its config's section ``init`` says.

What was taken, what starts anew, what is left out and what trains is told before training and
kept in the run's init.json, so that a run that has a checkpoint goes on without its source.
"""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.runs import workdir
from cnn_jax.runs.experiment import Experiment
from cnn_jax.runs.restore import load_step
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.state import Variables
from cnn_jax.transfer import bundle, transform_input
from cnn_jax.transfer.graft import graft
from cnn_jax.transfer.regimes import Rule, resolve, shapes_of, stages
from cnn_jax.transfer.state_dict import SUFFIXES
from cnn_jax.transfer.torch_names import naming
from cnn_jax.transfer.weights import convert, read_tensors


@dataclasses.dataclass(frozen=True)
class Source:
    """Weights from elsewhere, and the constants that their images were normalised by, if known."""

    name: str
    variables: Any
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return a digest of the weights, whatever file they came in."""
        digest = hashlib.sha256()
        for path, leaf in sorted(traverse_util.flatten_dict(self.variables).items()):
            digest.update("/".join(path).encode())
            digest.update(np.ascontiguousarray(leaf, np.float64).tobytes())
        return digest.hexdigest()[:16]


def source_path(config: Config) -> str | None:
    """Return where a config's source is, ``~`` and ``{seed}`` replaced; None without one."""
    source = config.init.source
    if source is None:
        return None
    return os.path.expanduser(source.replace("{seed}", str(config.seed)))


def read_source(config: Config) -> Source:
    """Return the weights that a config names.

    Raises:
        BadInputError: no such file or folder, a damaged one, or weights that its network's
            importer does not know.
    """
    name = source_path(config)
    assert name is not None
    path = Path(name)
    if path.is_dir():
        _, variables, held, _ = load_step(path, None, flag="init.source")
        notes = _converted_otherwise(held, config)
        return Source(name, jax.device_get(variables), held.data.mean, held.data.std, notes)
    if not path.exists():
        raise BadInputError(f"init.source: {name!r} does not exist")
    try:
        if path.suffix not in SUFFIXES:
            about, _, weights = bundle.read_archive(path)
            mean, std = tuple(about["mean"]), tuple(about["std"])
            return Source(name, bundle.variables(weights), mean, std)
        fields = configs.ordered(config.model)
        model = fields.pop("name")
        fields.pop("aux", None)  # the file knows whether it has auxiliary heads
        layout = naming(model)
        tensors = read_tensors(layout, path)
        flag = f"--config.model.{transform_input.FIELD}"
        fields, told = transform_input.chosen(model, layout, tensors, fields, flag=flag)
        _, variables = convert(model, tensors, layout, name, **fields)
    except BadInputError as error:
        raise BadInputError(f"init.source: {error}") from None
    return Source(name, jax.device_get(variables), notes=() if told is None else (told,))


def _converted_otherwise(held: Config, config: Config) -> tuple[str, ...]:
    """Return a note where a run's network takes its images otherwise than the one it starts."""
    field = transform_input.FIELD
    there, here = held.model.get(field), config.model.get(field)
    if there is None or here is None or there == here:
        return ()
    return (f"images are converted otherwise: model.{field} is {there} there, {here} here",)


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        report: of init.json: ``source``, ``weights``, their digest, ``taken``, ``anew`` (tensor ->
            why), ``left_out``, ``stages`` (name -> parameters), ``parameters`` (how many),
            ``phases`` (``step``, what ``trains`` from there on and how many ``parameters`` that
            is), ``notes``.
        variables: those taken; None where a checkpoint has them already.
    """

    report: dict[str, Any]
    variables: Variables | None

    def tell(self, folder: Path, config: Config) -> None:
        """Print the report, and keep it in the run's folder, unless the run goes on."""
        if self.variables is not None:
            print("\n".join(lines(self.report)), file=sys.stderr)
            workdir.write_init(folder, config, self.report)


def with_regime(
    experiment: Experiment, folder: Path | None = None
) -> tuple[Experiment, Start | None]:
    """Return the experiment with what trains of it, and what it starts from if not from nothing.

    ``folder`` is the run's: where it holds a checkpoint, the source is not needed any more.

    Raises:
        BadInputError: whatever is wrong with the source or with the section ``init``.
    """
    config = experiment.config
    if config.init.source is None:
        return experiment, None
    last = config.init.unfreeze[-1:]
    if last and last[0] >= experiment.total_steps:
        raise BadInputError(
            f"init.unfreeze: step {last[0]} is not before the run's end, {experiment.total_steps}"
        )
    network = stages(experiment.module, experiment.image_shape)
    report, variables = _kept(folder), None
    if report is None:
        report, variables = _taken(config, experiment.module, experiment.image_shape)
    anew = (tuple(name.split("/")) for name in report["anew"])
    regime = resolve(_rule(config), network, frozenset(p[1:] for p in anew if p[0] == "params"))
    shapes = shapes_of(experiment.module, experiment.image_shape)["params"]
    flat: Any = traverse_util.flatten_dict(shapes)
    sizes = {path: leaf.size for path, leaf in flat.items()}
    report["stages"] = {name: _names(paths) for name, paths in network.items()}
    report["parameters"] = sum(sizes.values())
    report["phases"] = [
        {"step": at, "parameters": sum(sizes[path] for path in paths), "trains": _names(paths)}
        for at, paths in regime.phases
    ]
    return dataclasses.replace(experiment, regime=regime), Start(report, variables)


def given_variables(config: Config, module: nn.Module, image_shape: Sequence[int]) -> Any:
    """Return the variables that a run of ``config`` takes from its source; None without one."""
    if config.init.source is None:
        return None
    return _taken(config, module, image_shape)[1]


def source_digest(config: Config) -> str | None:
    """Return the digest of the weights that a run starts from; None without a source."""
    return None if config.init.source is None else read_source(config).digest()


def _taken(
    config: Config, module: nn.Module, image_shape: Sequence[int]
) -> tuple[dict[str, Any], Variables]:
    """Return the report on a source, and the variables taken from it."""
    source, network = read_source(config), stages(module, image_shape)
    target = shapes_of(module, image_shape)
    found, variables = graft(
        source.variables, target, network, config.init.restart, repr(source.name)
    )
    notes = list(source.notes)
    for name, there in (("mean", source.mean), ("std", source.std)):
        here = config.data[name]
        if there is None or here is None:
            continue
        if not np.allclose(there, here, atol=1e-3):
            notes.append(
                f"images are normalised by another data.{name}: {there} there, {here} here"
            )
    report = {
        "source": source.name,
        "weights": source.digest(),
        "taken": _names(found.taken),
        "anew": {"/".join(path): why for path, why in found.anew.items()},
        "left_out": _names(found.left_out),
        "notes": notes,
    }
    return report, variables


def _rule(config: Config) -> Rule:
    return Rule(**{field.name: config.init[field.name] for field in dataclasses.fields(Rule)})


def _kept(folder: Path | None) -> dict[str, Any] | None:
    """Return the report of a run that has a checkpoint to go on from."""
    if folder is None or not any((folder / workdir.CHECKPOINTS).glob("[0-9]*")):
        return None
    return workdir.read_init(folder)


def _names(paths: Iterable[tuple[str, ...]]) -> list[str]:
    return sorted("/".join(path) for path in paths)


def lines(report: dict[str, Any]) -> list[str]:
    """Return a report as lines, tensors grouped by the network's stages."""
    modules = {
        name.split("/")[0]: stage for stage, names in report["stages"].items() for name in names
    }

    def grouped(names: Iterable[str]) -> str:
        counts = dict.fromkeys(modules.values(), 0)  # in the network's order
        for name in names:
            module = name.split("/")[0]
            stage = modules.get(module, module)
            counts[stage] = counts.get(stage, 0) + 1
        return ", ".join(f"{stage} ({count})" for stage, count in counts.items() if count)

    def below(names: Iterable[str]) -> list[str]:
        return [name.partition("/")[2] for name in names]

    found = [f"init: {report['source']}, tensors taken: {grouped(below(report['taken']))}"]
    for why in sorted(set(report["anew"].values()), key=len, reverse=True):
        names = [name for name, other in report["anew"].items() if other == why]
        found.append(f"init: starts anew: {', '.join(below(names))} ({why})")
    if report["left_out"]:
        found.append(f"init: left out: {', '.join(below(report['left_out']))}")
    every = [name for names in report["stages"].values() for name in names]
    for phase in report["phases"]:
        frozen = [name for name in every if name not in set(phase["trains"])]
        when = f"from step {phase['step']} on " if phase["step"] else ""
        what = f"{phase['parameters']:,} of {report['parameters']:,} parameters"
        rest = f"; frozen: {grouped(frozen)}" if frozen else ""
        found.append(f"init: {when}trains {what}: {grouped(phase['trains'])}{rest}")
    return found + [f"init: {note}" for note in report["notes"]]
