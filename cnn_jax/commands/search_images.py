"""``search-images``."""

import argparse
import json

from cnn_jax.commands import flags

HELP = "the images most similar to others, as a layer sees them"
LESS_MEMORY = "lower data.image_size (--config.data.image_size=VALUE)"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_workdir(parser)
    parser.add_argument(
        "--index", required=True, type=flags.path, metavar="FILE", help="made if there is none"
    )
    text = "what to index; the test set if unset"
    parser.add_argument("--images", type=flags.path, metavar="DIR", help=text)
    parser.add_argument("--layer", metavar="NAME", help="whose outputs count; the last but one")
    flags.add_checkpoint(parser)
    parser.add_argument("--top", type=int, default=10, metavar="N", help="neighbours (10)")
    parser.add_argument("--method", default="exact", help="exact (default) or faiss")
    parser.add_argument("--measure", action="store_true", help="print the precision of the search")
    parser.add_argument(
        "--sheet",
        type=flags.path,
        metavar="FILE",
        help="draw queries with their neighbours, as PNG, PDF or SVG by the file's ending",
    )
    parser.add_argument(
        "queries", nargs="*", type=flags.path, metavar="IMAGE", help="image files, or folders"
    )
    flags.add_overrides(parser, "--config.data.FIELD=VALUE takes other data")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print a line a query."""
    from cnn_jax import inspection
    from cnn_jax.deploy.predict import image_files
    from cnn_jax.inspection import image_search

    queries = image_files(arguments.queries)
    subject = inspection.open_run(
        arguments.workdir,
        queries,
        step=arguments.step,
        ema=arguments.ema,
        overrides=overrides,
    )
    found = image_search.search_images(
        subject,
        arguments.index,
        queries,
        images=arguments.images,
        layer=arguments.layer,
        top=arguments.top,
        method=arguments.method,
        measured=arguments.measure,
        sheet=arguments.sheet,
    )
    for line in found:
        print(json.dumps(line))
    return 0
