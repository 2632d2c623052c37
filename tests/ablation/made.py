"""Plans and outcomes made by hand, whose verdicts are known."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.ablation.outcomes import Outcome
from cnn_jax.ablation.proof import Proof
from cnn_jax.ablation.stored import ArmPlan, Plan

EXAMPLES = 1000


def plan(*pairs: tuple[str, str], seeds: int = 5, endpoint: str = "test", **fields: Any) -> Plan:
    """Return the plan of a study with such (arm, control) comparisons."""
    names = list(dict.fromkeys(name for pair in pairs for name in reversed(pair)))
    against = dict(pairs)
    source = fields.pop("source", None)
    config = json.dumps({"data": {"batch_size": 1}, "seed": 0, "init": {"source": source}})
    arms = tuple(ArmPlan(n, against.get(n), "mlp", 1, 1, 1, None, config) for n in names)
    better = fields.pop("not_worse", False)
    proofs = tuple(
        Proof(arm, control, {}, {}, [], [], [], 0, 0, [], (1, 1), (), better)
        for arm, control in pairs
    )
    usual: dict[str, Any] = {
        **{"name": "made", "question": "?", "hypothesis": "!", "preset": "smoke", "data": "d"},
        **{"smallest": 0.01, "threats": (), "gradients": False, "cells": (), "code": "c"},
        **{"fingerprints": {}, "command": "", "endpoint": endpoint, "arms": arms},
    }
    return Plan(**usual | {"seeds": tuple(range(seeds)), "proofs": proofs} | fields)


def outcome(
    error: float, *, train: float = 0.0, values: Mapping[str, np.ndarray] | None = None, **more: Any
) -> Outcome:
    """Return what a cell measured that got the first examples wrong, a share of them."""
    right = np.arange(EXAMPLES) >= round(error * EXAMPLES)
    splits = {"test": float(right.mean()), "train": 1 - train}
    metrics = {
        name: {"accuracy": accuracy, "loss": 1.0, "examples": EXAMPLES} | more
        for name, accuracy in splits.items()
    }
    return Outcome({"metrics": metrics}, right, 1, [], None, values or {})


def outcomes(**errors: Sequence[float]) -> dict[str, dict[int, Outcome]]:
    """Return arm -> seed -> outcome, of the arms' errors by seed."""
    return {arm: {s: outcome(e) for s, e in enumerate(own)} for arm, own in errors.items()}
