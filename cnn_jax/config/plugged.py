"""Which names of a config come from plug-ins, and from which."""

from collections.abc import Iterator, Mapping
from typing import Any

from cnn_jax import models, registry
from cnn_jax.config.fields import Config
from cnn_jax.runtime.errors import BadInputError

PLUGINS = "plugins"  # what a file calls the record: "model se_net" -> what --import was given


def named(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (kind, name) of what a config names."""
    yield from _first((config.task.name, "task"))
    yield from _first((config.model.name, "model"))
    yield from _first((config.data.name, "dataset"))
    yield from _first((config.optim.name, "optimizer"), (config.optim.schedule, "schedule"))
    for name in config.data.augment:
        yield "transform", name
    for name in config.task.get("measures") or ():
        yield "metric", name
    if config.model.name is not None:
        for field in models.layer_fields(config.model.name):
            yield from _first((config.model.get(field), "layer"))


def _first(*pairs: tuple[Any, str]) -> Iterator[tuple[str, str]]:
    for name, kind in pairs:
        if isinstance(name, str):
            yield kind, name


def plugins(config: Config) -> dict[str, registry.Plugin]:
    """Return where what a config names comes from, "KIND NAME" -> plug-in; {} of our own alone."""
    found = ((kind, name, registry.origin(kind, name)) for kind, name in named(config))
    return {f"{kind} {name}": plugin for kind, name, plugin in found if plugin is not None}


def noted(config: Config) -> dict[str, str]:
    """Return what config.json says of plug-ins: "KIND NAME" -> what brings it."""
    return {name: _brought_by(plugin) for name, plugin in plugins(config).items()}


def _brought_by(plugin: registry.Plugin) -> str:
    return f"the package {plugin.name}" if plugin.installed else f"--import={plugin.name}"


def check_registered(held: Mapping[str, str]) -> None:
    """Raise ``BadInputError`` for the first name that is not registered; says what brings it.

    Args:
        held: what ``noted`` returned when the file was written. Nothing of it is imported.
    """
    for entry, source in held.items():
        kind, _, name = entry.partition(" ")
        if not registry.is_known(kind, name):
            what = "install it" if source.startswith("the package") else "give that flag"
            raise BadInputError(f"its {kind} {name!r} comes from {source}: {what}")
