"""Configs: the fields with their types and defaults, files, overrides, JSON."""

from cnn_jax.config.checks import check, profile_steps
from cnn_jax.config.declarations import Field, placeholder
from cnn_jax.config.described import Described, described
from cnn_jax.config.fields import (
    Config,
    add_fields,
    base_config,
    declared,
    leaves,
    ordered,
    sections,
)
from cnn_jax.config.files import read
from cnn_jax.config.filling import unknown_field, whole
from cnn_jax.config.numerics import NUMERICS, numerics_changed, numerics_of
from cnn_jax.config.overrides import LENGTHS, choose_length, override, override_data, set_field
from cnn_jax.config.plugged import plugins
from cnn_jax.config.stored import (
    FORMAT,
    NEUTRAL,
    Stored,
    add_task_fields,
    difference,
    from_json,
    read_stored,
    to_json,
    write_stored,
)

__all__ = [
    "FORMAT",
    "LENGTHS",
    "NEUTRAL",
    "NUMERICS",
    "Config",
    "Described",
    "Field",
    "Stored",
    "add_fields",
    "add_task_fields",
    "base_config",
    "check",
    "choose_length",
    "declared",
    "described",
    "difference",
    "from_json",
    "leaves",
    "numerics_changed",
    "numerics_of",
    "ordered",
    "override",
    "override_data",
    "placeholder",
    "plugins",
    "profile_steps",
    "read",
    "read_stored",
    "sections",
    "set_field",
    "to_json",
    "unknown_field",
    "whole",
    "write_stored",
]
