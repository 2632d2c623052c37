"""``config``."""

import argparse
import json

from cnn_jax.commands import flags

HELP = "print a config with all its fields, as it would be trained; perhaps try it for a step"
LESS_MEMORY = "lower data.batch_size or data.image_size, or raise optim.accumulate"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_config(parser)
    flags.add_overrides(parser, flags.ANY_FIELD)
    about = "also compile, and take so many steps on synthetic images of the right shape"
    parser.add_argument("--steps", type=flags.COUNT, metavar="N", help=about)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the fields as a file of overrides, and what the steps came to as its comments."""
    from cnn_jax import config as configs
    from cnn_jax.runs import experiment

    config = experiment.load_config(arguments.config, overrides)
    if not arguments.json:
        print(f"# {arguments.config}; a line as --overrides=FILE takes it: FIELD=VALUE  # meaning")
        print("\n".join(field.line for field in configs.described(config)), flush=True)
    tried = None
    if arguments.steps is not None:
        from cnn_jax.planning.dry_run import dry_run
        from cnn_jax.train import compilation

        compilation.keep_compiled_in_cache()
        tried = dry_run(config, arguments.steps)
    if arguments.json:
        held = json.loads(configs.to_json(config))
        print(json.dumps({"config": held} | ({} if tried is None else {"dry_run": tried})))
    elif tried is not None:
        size = "x".join(map(str, tried["image_shape"]))
        print(
            f"# {tried['steps']} steps on synthetic images {size} in {tried['classes']} classes, "
            f"{tried['batch_size']} a step: loss {tried['loss']:.4f}"
        )
        print(f"# {tried['params']:,} parameters, {tried['macs']:,} MACs an image")
        spent = ", ".join(f"{name} {value:.2f}" for name, value in tried["seconds"].items())
        print(f"# seconds: {spent} (compile includes the first dispatch)")
    return 0
