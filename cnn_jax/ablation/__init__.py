"""The ablation engine: a declared difference, equal budgets, and a verdict with its noise."""

from cnn_jax.ablation.arms import Arm, Contrast, Match, Series
from cnn_jax.ablation.command import main
from cnn_jax.ablation.endpoints import Endpoint
from cnn_jax.ablation.study import Study

__all__ = ["Arm", "Contrast", "Endpoint", "Match", "Series", "Study", "main"]
