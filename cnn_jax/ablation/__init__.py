"""The ablation engine: a declared difference, equal budgets, and a verdict with its noise."""

from cnn_jax.ablation.command import main
from cnn_jax.ablation.study import Arm, Match, Series, Study

__all__ = ["Arm", "Match", "Series", "Study", "main"]
