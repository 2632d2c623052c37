"""Real studies of two arms that are the same: how often the engine tells them apart."""

import numpy as np
import pytest

import cnn_jax
from cnn_jax.ablation import cells
from cnn_jax.ablation.decisions import BETTER, WORSE
from cnn_jax.ablation.outcomes import Outcome
from cnn_jax.ablation.verdicts import judge
from tests.ablation import made, tiny

POOL, SEEDS, STUDIES = 40, 10, 40


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> list[Outcome]:
    """Train one config with many seeds."""
    trained = []
    for seed in range(POOL):
        folder = tmp_path_factory.mktemp("cell") / "run"
        config = tiny.config()
        config.seed = seed
        config.checkpoint.every = config.eval.every = config.train.steps
        cnn_jax.train_and_evaluate(config, folder)
        outcome = cells.outcome(folder)
        assert outcome is not None
        trained.append(outcome)
    return trained


@pytest.mark.slow
def test_at_most_6_of_40_are_told_apart(pool):
    assert len({outcome.right.tobytes() for outcome in pool}) == POOL  # the seeds do something
    chance = np.random.default_rng(0)
    said = []
    for _ in range(STUDIES):
        drawn = [pool[i] for i in chance.permutation(POOL)[: 2 * SEEDS]]
        arms = {"one": drawn[:SEEDS], "other": drawn[SEEDS:]}
        measured = {arm: dict(enumerate(own)) for arm, own in arms.items()}
        (found,) = judge(made.plan(("one", "other"), seeds=SEEDS, smallest=0.001), measured)
        said.append(found.verdict)
    assert sum(verdict in (BETTER, WORSE) for verdict in said) <= 6
