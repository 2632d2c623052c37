"""Which names of a config come from plug-ins, and from which."""

from collections.abc import Mapping

from cnn_jax import models, registry
from cnn_jax.config.fields import Config
from cnn_jax.runtime.errors import BadInputError

PLUGINS = "plugins"  # what a file calls the record: "model se_net" -> what --import was given


def named(config: Config) -> list[tuple[str, str]]:
    """Return (kind, name) of what a config names."""
    model = config.model
    pairs = [
        ("task", config.task.name),
        ("model", model.name),
        ("dataset", config.data.name),
        ("optimizer", config.optim.name),
        ("schedule", config.optim.schedule),
        *(("transform", name) for name in config.data.augment),
        *(("metric", name) for name in config.task.get("measures") or ()),
    ]
    if model.name is not None:
        pairs += [("layer", model.get(field)) for field in sorted(models.layer_fields(model.name))]
    return [(kind, name) for kind, name in pairs if isinstance(name, str)]


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
