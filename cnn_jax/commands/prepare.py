"""``prepare``."""

import argparse
import json
import sys

from cnn_jax.commands import flags

HELP = "download a data set, or take its files; convert it once"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--data", required=True, metavar="NAME", help="cifar10, folder, ...")
    text = "archives, or images"
    parser.add_argument("--from", dest="archives", type=flags.path, metavar="DIR", help=text)
    text = "where to; the cache folder if unset"
    parser.add_argument("--data_dir", type=flags.path, metavar="DIR", help=text)


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print where the set is and what it holds."""
    flags.no_more(rest)
    from cnn_jax.data import reading, sources
    from cnn_jax.data.prepare import prepared

    folder = sources.prepare_source(
        arguments.data, archives=arguments.archives, directory=arguments.data_dir
    )
    held = prepared.open_set(folder, arguments.data)
    for line in reading.notes(held):
        print(line, file=sys.stderr)
    print(json.dumps({"data": arguments.data, "dir": str(folder)} | reading.contents(folder)))
    return 0
