"""A network with its weights in one file, which runs with jax alone.

The file is a zip archive: ``metadata.json``; ``program.bin``, which ``jax.export`` wrote for CPU,
CUDA and TPU with any number of images; ``weights.npz``, the program's first argument. Without this
package it is read so (jax.export wants flatbuffers, which pip does not install along with jax):

    import json, zipfile
    import numpy as np
    from jax import export

    with zipfile.ZipFile(FILE) as archive:
        about = json.loads(archive.read("metadata.json"))
        program = export.deserialize(bytearray(archive.read("program.bin")))
        with archive.open("weights.npz") as weights:
            weights = dict(np.load(weights))
    outputs = program.call(weights, images)  # uint8 [b, *about["image_shape"]]
    outputs["probabilities"], outputs["logits"]  # [b, classes]
"""

import dataclasses
import io
import json
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from cnn_jax import ops
from cnn_jax.config import Config
from cnn_jax.data import preprocessing
from cnn_jax.nn.calling import mode
from cnn_jax.runs import from_config, workdir
from cnn_jax.runs.from_config import build_module, input_shape
from cnn_jax.runs.restore import load_step
from cnn_jax.runtime import archives, json_file
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.checkpoint import Step
from cnn_jax.transfer.bundle import (
    FORMAT,
    METADATA,
    PROGRAM,
    WEIGHTS,
    WHAT,
    Metadata,
    read_archive,
)

PLATFORMS = ("cpu", "cuda", "tpu")


@dataclasses.dataclass(frozen=True)
class Exported:
    """A network read from a file: call it with pixels.

    Attributes:
        about: the file's metadata: ``model``, ``image_shape`` (H, W, C), ``classes`` (how many),
            ``class_names`` (or None), ``mean`` and ``std`` by channel, ``step``, versions.
    """

    about: Metadata
    _program: export.Exported
    _weights: dict[str, np.ndarray]

    def __call__(self, images: Any) -> dict[str, jax.Array]:
        """Map pixels uint8 ``[N, H, W, C]`` to ``logits`` and ``probabilities`` ``[N, classes]``.

        Normalisation is part of the program. Raises ``BadInputError`` for other arrays.
        """
        shape = tuple(self.about["image_shape"])
        images = images if hasattr(images, "dtype") else np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != shape:
            raise BadInputError(
                f"the exported network takes uint8 [N, {', '.join(map(str, shape))}], "
                f"not {images.dtype} {list(images.shape)}"
            )
        if not len(images):
            raise BadInputError("the exported network takes one image at the least, not 0")
        outputs: Any = self._program.call(self._weights, images)
        return outputs


def export_run(
    folder: str | Path, file: str | Path, *, step: Step = None, ema: bool = False
) -> dict[str, Any]:
    """Write the network of a run with its weights as one file; return the file's metadata.

    Args:
        folder: of any run: finished, interrupted or imported.
        file: to write; one that exists is replaced.
        step: of the checkpoint, ``latest`` (also None) or ``best``.
        ema: the averaged network, of a run with ``optim.ema``.

    Raises:
        BadInputError: no such run or step, or a file that cannot be written.
    """
    folder, file = Path(folder), Path(file)
    _check_place(file)
    _, variables, config, step = load_step(folder, step, ema=ema)
    if config.train.precision == "float64":  # few programs that load it would have that enabled
        config.train.precision = "float32"
        variables = jax.tree.map(lambda x: np.asarray(x, np.float32), variables)
    program, weights = _program(config, variables)
    section, held = config.data, io.BytesIO()
    np.savez(held, allow_pickle=False, **weights)
    members = {PROGRAM: bytes(program.serialize()), WEIGHTS: held.getvalue()}
    fields = {
        "model": config.model.name,
        "image_shape": input_shape(config),
        "classes": section.classes,
        "class_names": workdir.read_classes(folder),
        "mean": section.mean,
        "std": section.std,
        "step": step,
        "params": sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        "platforms": PLATFORMS,
        "calling_convention": program.calling_convention_version,
        "versions": {name: metadata.version(name) for name in ("cnn-jax", "jax")},
        "members": archives.digests(members),
    }
    about = json_file.sealed(fields, version=FORMAT)
    try:
        with written(file) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            archive.writestr(METADATA, json.dumps(about, indent=2) + "\n")
            archive.writestr(PROGRAM, members[PROGRAM], zipfile.ZIP_DEFLATED)
            archive.writestr(WEIGHTS, members[WEIGHTS])
    except OSError as error:
        raise BadInputError(f"--to: {str(file)!r}: {error.strerror}") from None
    return about


def _check_place(file: Path) -> None:
    """Raise ``BadInputError`` unless a file can be written there."""
    if not file.parent.is_dir() or (file.exists() and not file.is_file()):
        what = "is no file" if file.exists() else f"needs the folder {str(file.parent)!r}"
        what = "is a folder" if file.is_dir() else what
        raise BadInputError(f"--to: {str(file)!r} {what}; give the name of a file to write")


def _program(config: Config, variables: Any) -> tuple[export.Exported, dict[str, np.ndarray]]:
    """Return (weights, uint8 ``[b, H, W, C]``) -> outputs for every platform, and the weights."""
    module, section, task = build_module(config), config.data, from_config.task(config)
    if not hasattr(task, "scores"):
        raise BadInputError(f"task {config.task.name!r} has no scores of classes to export")
    paths, structure = jax.tree_util.tree_flatten_with_path(variables)
    weights = {_name(path): np.asarray(leaf) for path, leaf in paths}
    order = [_name(path) for path, _ in paths]

    def predict(weights, images):
        variables = jax.tree.unflatten(structure, [weights[name] for name in order])
        images = preprocessing.scale(images, section.mean, section.std, config.train.precision)
        logits: Any = module.apply(variables, images, **mode(module, train=False))
        return {"logits": logits, "probabilities": task.scores(logits)}

    (batch,) = export.symbolic_shape("b")
    pixels = jax.ShapeDtypeStruct((batch, *input_shape(config)), jnp.uint8)
    with ops.stock():  # XLA's own operators: those that every platform has
        return export.export(jax.jit(predict), platforms=PLATFORMS)(weights, pixels), weights


def _name(path: Any) -> str:
    return "/".join(entry.key for entry in path)


def load_exported(file: str | Path) -> Exported:
    """Return the network that ``export_run`` wrote.

    Raises:
        BadInputError: no such file, another file, a damaged one, or one of a newer format.
    """
    about, stored, weights = read_archive(file)
    with archives.reading(file, WHAT):
        program = export.deserialize(bytearray(stored))
        _check_together(about, program, weights)
    return Exported(about, program, weights)


def _check_together(
    about: Metadata, program: export.Exported, weights: dict[str, np.ndarray]
) -> None:
    """Raise ``ValueError`` for a program that takes other weights or images, or other classes."""
    (takes, images), _ = jax.tree.unflatten(program.in_tree, program.in_avals)
    for name in [*takes, *(name for name in weights if name not in takes)]:
        if name not in weights or name not in takes:
            where = f"{WEIGHTS} lacks" if name in takes else "the program does not take"
            raise ValueError(f"{where} {name!r}")
        found, wanted = weights[name], takes[name]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{name!r} is {found.dtype} {list(found.shape)}, the program takes "
                f"{wanted.dtype} {list(wanted.shape)}"
            )
    logits = jax.tree.unflatten(program.out_tree, program.out_avals)["logits"]
    if (*images.shape[1:], logits.shape[1]) != (*about["image_shape"], about["classes"]):
        raise ValueError(
            f"the program maps images {list(images.shape[1:])} to {logits.shape[1]} classes, not "
            f"{about['image_shape']} to {about['classes']}"
        )
