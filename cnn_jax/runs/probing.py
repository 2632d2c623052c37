"""What a trained network's features are worth without training it: linear probe and neighbours.

The features are what the network's last stage is given, maps averaged over rows and columns: what
the regime `last` learns from. They are computed once and kept in the cache folder, so that the
baseline takes seconds (Alain & Bengio 2016 for the probe).
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from cnn_jax import config as configs
from cnn_jax.analysis.embedding import features
from cnn_jax.analysis.probe import inference
from cnn_jax.config import Config
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.prepare import arrays
from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.runs.experiment import Experiment, assemble
from cnn_jax.runs.initialise import given_variables, source_digest
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.state import init_state
from cnn_jax.transfer.regimes import stages

BATCH = 256
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # inverse weights of the probe's L2 penalty
NEIGHBOURS = (1, 5, 20)


def probe(config: Config) -> dict[str, Any]:
    """Return how well a linear probe and the nearest neighbours do on the data of a config.

    Both learn from the training part; the probe's penalty and the number of neighbours are chosen
    by the validation part, and the test part is looked at once.

    Args:
        config: with ``init.source``, whose features are used.

    Returns:
        ``linear`` and ``neighbours``, each with ``accuracy`` on the test part and what was chosen,
        ``examples`` learnt from, ``features``.

    Raises:
        BadInputError: no source, one that does not fit, or no validation part to choose by.
    """
    if config.init.source is None:
        raise BadInputError("init.source is unset; a probe looks at a trained network's features")
    experiment = assemble(config)
    if VALIDATION not in experiment.parts:
        raise BadInputError("data.validation is 0; a probe is chosen by the validation part")
    seen = {name: (_kept(experiment, part), part.labels) for name, part in experiment.parts.items()}
    return {
        "linear": _linear(seen),
        "neighbours": _neighbours(seen),
        "examples": len(experiment.parts[TRAIN]),
        "features": seen[TRAIN][0].shape[1],
    }


def before_last_stage(
    module: nn.Module, image_shape: tuple[int, ...]
) -> Callable[[Any, jax.Array], jax.Array]:
    """Return (variables, normalised images) -> what the network's last stage is given."""
    last = list(stages(module, image_shape).values())[-1]
    names = {path[0] for path in last}

    def given(variables: Any, x: jax.Array) -> jax.Array:
        found: list[jax.Array] = []

        def intercept(call, args, kwargs, context):
            path = context.module.path
            if not found and len(path) == 1 and path[0] in names:
                found.append(args[0])
            return call(*args, **kwargs)

        with nn.intercept_methods(intercept):
            module.apply(variables, x, **inference(module))
        return found[0]

    return given


def _kept(experiment: Experiment, part: Part | Stream) -> np.ndarray:
    """Return a part's features, from the cache where they were computed before."""
    config = experiment.config
    about = f"{source_digest(config)} {configs.to_json(config)}"
    digest = hashlib.sha256(about.encode() + part.labels.tobytes())
    pixels = part.images if isinstance(part, Part) else part.rows
    digest.update(np.ascontiguousarray(pixels).data)
    name = digest.hexdigest()

    def make() -> list[np.ndarray]:
        read = before_last_stage(experiment.module, experiment.image_shape)
        bound = Partial(read, _variables(experiment))
        return [features(bound, _batches(experiment, part))]

    file = cache_dir() / "features" / f"{name[:24]}.npy"
    return arrays.kept(file, name, (len(part), None), np.float32, make)


def _variables(experiment: Experiment) -> Any:
    """Return the network's variables, those that the source lacks drawn."""
    import optax

    config, shape = experiment.config, experiment.image_shape
    given = given_variables(config, experiment.module, shape)
    draw = jax.jit(
        lambda given: (
            init_state(
                *(experiment.module, optax.identity(), shape, config.seed, experiment.dtype),
                given=given,
            ).variables
        )
    )
    return draw(given)


def _batches(experiment: Experiment, part: Part | Stream) -> Iterator[jax.Array]:
    scaled = jax.jit(experiment.preprocessing.scaled)
    for start in range(0, len(part), BATCH):
        rows = range(start, min(start + BATCH, len(part)))
        yield scaled(jnp.asarray(np.stack([part.read(row) for row in rows])))


def _linear(seen: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Multinomial logistic regression on standardised features, by L-BFGS."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tried = {
        strength: make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, max_iter=1000)
        ).fit(*seen[TRAIN])
        for strength in STRENGTHS
    }
    best = max(tried, key=lambda strength: tried[strength].score(*seen[VALIDATION]))
    return {"accuracy": float(tried[best].score(*seen[TEST])), "strength": best}


def _neighbours(seen: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Vote of the nearest neighbours by cosine."""
    from sklearn.neighbors import KNeighborsClassifier

    tried = {
        k: KNeighborsClassifier(k, metric="cosine").fit(*seen[TRAIN])
        for k in NEIGHBOURS
        if k <= len(seen[TRAIN][1])
    }
    best = max(tried, key=lambda k: tried[k].score(*seen[VALIDATION]))
    return {"accuracy": float(tried[best].score(*seen[TEST])), "neighbours": best}
