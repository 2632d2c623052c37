"""What an arm is made of, before anything runs: counts, layers, initial weights, data."""

import contextlib
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax import config as configs
from cnn_jax.analysis import summarize
from cnn_jax.config import Config
from cnn_jax.data.dataset import fingerprint
from cnn_jax.ops.cpu import build_onednn
from cnn_jax.runs.experiment import assemble
from cnn_jax.runs.from_config import build_module, total_steps
from cnn_jax.runs.initialise import given_variables
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError
from cnn_jax.train import compilation
from cnn_jax.train.state import init_state

PACKAGE = Path(__file__).parent.parent
# What a cell computes does not depend on these rooms, which plan, draw, predict and report ...
APART = ("ablation", "commands", "deploy", "inspection", "planning", "__main__.py")
MEASURING = ("ablation/gradients.py",)  # ... but for what measures cells


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set as far as the arms' description needs it."""

    image_shape: tuple[int, ...]
    classes: int
    examples: int  # to train on, validation left out
    fingerprint: str  # of all pixels and labels; of a streamed set the labels and their order
    # Part -> labels int32 [N], in the order in which they are evaluated.
    labels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, config: Config) -> "Data":
        """Read the data set that a config names."""
        data = assemble(config).dataset
        return cls(
            data.train.image_shape,
            len(data.classes),
            len(data.train),
            fingerprint(data.parts),
            {name: part.labels for name, part in data.parts.items()},
        )

    def steps(self, config: Config) -> int:
        """Return the optimizer updates of a run."""
        return total_steps(config, self.examples)

    def module(self, config: Config) -> Any:
        """Return the network that a config describes, for these classes."""
        config = configs.override(config, ())
        config.data.classes = self.classes
        return build_module(config)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An initial tensor: its shape, a digest of its bits, and whether all its values are one."""

    shape: tuple[int, ...]
    digest: str
    constant: bool


@dataclasses.dataclass(frozen=True)
class Described:
    """An arm's network: numbers, layers by kind, initial tensors by path."""

    params: int
    macs: int
    kinds: dict[str, int]
    initial: dict[str, Tensor]


def count(config: Config, data: Data) -> tuple[int, int]:
    """Return (parameters, multiply-adds of one image)."""
    with _buildable(config):
        counted = summarize(data.module(config), data.image_shape)
    return counted.params, counted.macs


def describe(config: Config, data: Data) -> Described:
    """Count a network and draw its initial weights with the config's seed."""
    with _buildable(config):
        module = data.module(config)
        counted = summarize(module, data.image_shape)
        initial = initial_tensors(module, config, data)
    kinds = Counter(row.kind for row in counted.rows)
    return Described(counted.params, counted.macs, dict(kinds), initial)


@contextlib.contextmanager
def _buildable(config: Config) -> Iterator[None]:
    """Make one line of what a network's constructor raises for fields that do not fit together."""
    try:
        yield
    except BadInputError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        fields = ", ".join(f"{k}={v!r}" for k, v in configs.ordered(config.model).items())
        reason = str(error).strip().split("\n")[0]
        raise BadInputError(f"no such network can be built ({fields}): {reason}") from error


def initial_tensors(module: Any, config: Config, data: Data) -> dict[str, Tensor]:
    """Return the tensors that a run of ``config`` starts from, by path."""

    dtype = jnp.dtype(config.train.precision)

    def draw(given: Any) -> Any:
        shape = data.image_shape
        begin = init_state(module, optax.identity(), shape, config.seed, dtype, given=given)
        return begin.variables

    with jax.enable_x64(config.train.precision == "float64"):
        given = given_variables(config, module, data.image_shape)
        variables = jax.device_get(compilation.hurried(jax.jit(draw), given)(given))
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        name = "/".join(str(key.key) for key in path)
        bits = hashlib.sha256(np.ascontiguousarray(leaf).tobytes()).hexdigest()[:16]
        found[name] = Tensor(tuple(leaf.shape), bits, bool(np.ptp(leaf) == 0))
    return found


def code_version(threads: int | None = None) -> str:
    """Return a digest of what decides what a cell computes, beside its config.

    The package's sources, those in C++ included, the version of oneDNN where it is installed, and
    the number of ``threads`` of the processor that a cell is computed by, where that is known.
    """
    digest = hashlib.sha256(f"{build_onednn.installed()} {threads}".encode())
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.cc")]):
        name = path.relative_to(PACKAGE)
        if name.parts[0] not in APART or name.as_posix() in MEASURING:
            digest.update(f"{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def digest(*parts: Any) -> str:
    """Return a short digest of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


class Memo:
    """Answers kept in a JSON file, so that a study asked again does not count again."""

    def __init__(self, file: Path):
        self._file = file
        self._known: dict[str, Any] = {}
        with contextlib.suppress(UnreadableFileError):  # not there, or damaged: only a memory
            held = json_file.read(file, dict[str, Any], "a study's counts")
            self._known = held.get("counted", {}) if json_file.FORMAT in held else held

    def get(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return the plain value known under ``key``, computing it once."""
        if key not in self._known:
            self._known[key] = compute()
            json_file.write(self._file, {"counted": self._known})
        return self._known[key]
