"""Configs: the fields with their types and defaults, files, overrides, JSON."""

from cnn_jax.config.checks import check, profile_steps
from cnn_jax.config.fields import (
    Config,
    add_fields,
    base_config,
    leaves,
    ordered,
    placeholder,
    sections,
)
from cnn_jax.config.files import read
from cnn_jax.config.overrides import override, override_data, unknown_field
from cnn_jax.config.stored import NEUTRAL, difference, from_json, to_json

__all__ = [
    "NEUTRAL",
    "Config",
    "add_fields",
    "base_config",
    "check",
    "difference",
    "from_json",
    "leaves",
    "ordered",
    "override",
    "override_data",
    "placeholder",
    "profile_steps",
    "read",
    "sections",
    "to_json",
    "unknown_field",
]
