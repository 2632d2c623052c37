"""The ablation engine: a declared difference, equal budgets, and a verdict with its noise."""

from cnn_jax.ablation.command import main
from cnn_jax.ablation.study import Arm, Match, Study

__all__ = ["Arm", "Match", "Study", "main"]
