"""Random config fields: a run trains and repeats bit for bit, or one line says why it cannot.

    python -m tests.fuzz.fields --cases=3000 --jobs=2

Half of the fields' values are plausible, half are anything. What no run can use has to be refused
in one line; what is accepted is trained for two steps, twice, and both runs have to agree in every
bit of their state and in all metrics. A traceback, a hang or a difference is a failure, printed
with the flags that repeat it.
"""

import contextlib
import dataclasses
import io
import json
import signal
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import cnn_jax
from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.runs.experiment import assemble, complete
from cnn_jax.runs.initialise import with_regime
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import compilation
from cnn_jax.train.clock import Clock
from cnn_jax.train.evaluation import on_devices
from cnn_jax.train.stopping import DivergedError
from cnn_jax.train.strategies import compiled
from tests.fixtures import write_images, write_run
from tests.fuzz import campaign
from tests.fuzz.values import plausible, wild

SECONDS = 120  # a case that takes longer hangs

# Networks that compile in a second, each with the fields that make it so.
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"model.hidden": (8,), "data.image_size": 8},
    "lenet1": {"data.image_size": 16},
    "lenet5": {"data.image_size": 16},
    "resnet20": {"model.stages": (1, 1), "model.width": 4, "data.image_size": 8},
    "plain20": {"model.stages": (1, 1), "model.width": 4, "data.image_size": 8},
}
# Fields that only show in a whole run, which takes longer than its two steps.
OF_WHOLE_RUNS = ("train.log_every", "train.writers", "train.profile", "train.flow_every")
OF_WHOLE_RUNS += ("eval.", "checkpoint.", "optim.ema")
BASE = {
    "data.name": "digits",
    "data.batch_size": 32,
    "optim.learning_rate": 0.02,
    "train.steps": 2,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """Fields that differ from the defaults, as flags or as values set from Python."""

    number: int
    fields: dict[str, Any]
    flags: bool

    def words(self) -> str:
        """Return the fields as flags."""
        return " ".join(f"--config.{name}={value!r}" for name, value in self.fields.items())


def draw(seed: int, number: int, folder: Path) -> Case:
    """Return case ``number`` of a campaign; ``folder`` holds images and a run to start from."""
    rng = np.random.default_rng([seed, number])
    model = str(rng.choice([*NETWORKS]))
    fields = BASE | {"model.name": model} | NETWORKS[model]
    if rng.random() < 0.15:
        fields |= {"data.name": "folder", "data.dir": str(folder / "images"), "data.batch_size": 8}
    config = configs.base_config()
    configs.add_fields(config.model, models.fields(model))
    known = dict(configs.leaves(config)) | {"data.augment": {}}
    anything = rng.random() < 0.7  # the others have plausible fields alone
    for _ in range(int(rng.integers(1, 5))):
        name = str(rng.choice([*known]))
        rare = anything and rng.random() < 0.5
        value = (wild if rare else plausible)(rng, name, known[name], folder)
        if value is not None:
            fields[name] = value
    if fields["model.name"] != model and not anything:
        fields["model.name"] = model
    flags = bool(rng.random() < 0.5)
    # From Python a name of another type is refused by ml_collections, where it is set.
    return Case(number, fields, flags or not isinstance(fields["model.name"], str))


def made(case: Case) -> Any:
    """Return the config of a case, not yet checked as a whole."""
    name = case.fields["model.name"]
    if case.flags:
        flags = [f"--config.{field}={_text(value)}" for field, value in case.fields.items()]
        return complete(configs.base_config(), flags)
    config = configs.base_config()
    config.model.name = name
    configs.add_fields(config.model, models.fields(name))
    for field, value in case.fields.items():
        *path, last = field.split(".")
        section = config
        for part in path:
            section = section[part]
        # A type that the field does not take is refused by ml_collections where it is set.
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            section[last] = value
    return config


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def run(case: Case) -> str:
    """Return how a case ended: trained, diverged, refused, or what is wrong with it."""
    # A folder each, so that nothing is found there; the name is not part of what is compared.
    with tempfile.TemporaryDirectory() as folder:
        try:
            config = complete(made(case))
            if config.model.name not in NETWORKS:
                # Only whether it is refused or accepted: the large ones compile for minutes.
                return "checked" if assemble(config) else ""
            _shorten(config)
            if case.number % 8 == 0 or _needs_a_run(case):
                first, again = (_whole_run(config, Path(folder) / name) for name in ("a", "b"))
            else:
                first, again = _two_steps(config)
        except DivergedError as error:
            return _line("diverged", error)
        except BadInputError as error:
            return _line("refused", error)
    return "trained" if first == again else f"differs: {_first_difference(first, again)}"


def _shorten(config: Any) -> None:
    """Make a run that would be accepted two steps long, after its own length was checked."""
    assert assemble(config).total_steps >= 1
    config.train.steps, config.train.epochs = min(config.train.steps or 2, 2), None


def _needs_a_run(case: Case) -> bool:
    """Return whether a case has fields that matter to whole runs alone."""
    return any(name.startswith(OF_WHOLE_RUNS) for name in case.fields if name not in BASE)


def _two_steps(config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train as a run does, without its folder, twice; return the states' bits and the metrics."""
    with jax.enable_x64(config.train.precision == "float64"):
        experiment = assemble(config)
        experiment.check_batch()
        experiment, start = with_regime(experiment)
        setup = experiment.setup()
        strategy = compiled(setup)
        data = on_devices(experiment.dataset.train, strategy.mesh)
        given = None if start is None else start.variables

        def trained() -> dict[str, Any]:
            state = stepping.enter(strategy.begin(config.seed, given))
            state, last = stepping.run(state, 0, config.train.steps)
            state = stepping.view(state)
            if int(state.bad_step) >= 0:
                raise DivergedError("the loss is not finite")
            return {"last": _bits(last), "bits": _bits(state)}

        with contextlib.closing(strategy.stepping(setup, data, Clock())) as stepping:
            return trained(), trained()


def _bits(tree: Any) -> dict[str, bytes]:
    return {
        jax.tree_util.keystr(path): np.asarray(leaf).tobytes()
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _whole_run(config: Any, folder: Path) -> dict[str, Any]:
    """Train, evaluate and save in a folder; return the weights' bits and the metrics."""
    result = cnn_jax.train_and_evaluate(config, folder)
    file = json.loads((folder / "result.json").read_text(), parse_constant=_not_json)
    assert file == result, "result.json is not what was returned"
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=_not_json)
    _, variables, _ = cnn_jax.load_run(folder)
    return {"metrics": result["metrics"], "bits": _bits(variables), "params": result["params"]}


def _not_json(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def _first_difference(first: dict[str, Any], again: dict[str, Any]) -> str:
    return next(name for name in first if first[name] != again[name])


def _line(what: str, error: Exception) -> str:
    text = str(error)
    return what if text and len(text.splitlines()) == 1 else f"not one line: {text!r}"


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

    def late(signum: int, frame: Any) -> None:
        raise TimeoutError(f"hangs: {seconds} s are over")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def one(seed: int, number: int, folder: Path) -> tuple[str, str]:
    """Run a case; return (kind of outcome, what to print of it)."""
    case = draw(seed, number, folder)
    said = io.StringIO()
    try:
        with limited(SECONDS), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ended = run(case)
    except Exception:
        ended = "traceback: " + traceback.format_exc()
    kind, _, about = ended.partition(":")
    return kind, f"{case.words()}\n{about.strip()}"


def prepare(folder: Path) -> None:
    """Make what cases refer to: a folder of images, and a run to start from."""
    compilation.keep_compiled(folder / "compiled")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    write_images(folder / "images" / "train", per_class=12)
    write_images(folder / "images" / "test", per_class=4)
    write_run(folder / "source", "mlp", image_shape=(8, 8, 1), hidden=(8,))


GOOD = ("trained", "diverged", "refused", "checked")

if __name__ == "__main__":
    campaign.main(__spec__.name, one, prepare, good=GOOD, at_least={"trained": 0.4})
