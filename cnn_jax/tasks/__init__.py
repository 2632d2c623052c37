"""Tasks: what a network learns, and what it is measured by."""

from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.task import Task

__all__ = ["Classification", "Task"]
