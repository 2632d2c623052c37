"""Tasks: what a network learns, and what it is measured by."""

from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.multilabel import Multilabel
from cnn_jax.tasks.task import Task

__all__ = ["Classification", "Multilabel", "Task"]
