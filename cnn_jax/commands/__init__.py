"""The commands, in the order in which help lists them: a module each.

A command's module has ``HELP``, ``add_flags(parser)`` and ``run(arguments, rest)``, which returns
the exit status; ``rest`` are the arguments that no flag took. What a command needs is imported when
it runs: help and bad flags answer at once.
"""

from types import ModuleType

from cnn_jax.commands import (
    config,
    configs,
    doctor,
    evaluate,
    export,
    import_weights,
    inspect,
    models,
    plan,
    predict,
    prepare,
    search_images,
    summary,
    train,
)

COMMANDS: dict[str, ModuleType] = {
    "train": train,
    "evaluate": evaluate,
    "prepare": prepare,
    "inspect": inspect,
    "summary": summary,
    "import-weights": import_weights,
    "plan": plan,
    "export": export,
    "predict": predict,
    "search-images": search_images,
    "models": models,
    "configs": configs,
    "config": config,
    "doctor": doctor,
}
