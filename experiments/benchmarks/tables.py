"""Tables of the benchmarks: printed, and written as CSV and Markdown."""

import csv
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# What the sides of a comparison are computed by.
LIBRARIES = ("jax", "flax", "torch", "torchvision", "onednn-cpu-gomp")


def versions(*libraries: str) -> str:
    """Return what figures were taken with, as a line."""
    found = [f"{name} {metadata.version(name)}" for name in libraries if _installed(name)]
    return ", ".join([f"Python {platform.python_version()}", *found, f"{os.cpu_count()} CPU cores"])


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def show(row: Row, *, head: bool) -> None:
    """Print a row, under its columns' names if ``head``."""
    widths = [max(len(name), len(str(value))) for name, value in row.items()]
    if head:
        print("  ".join(f"{name:>{width}}" for name, width in zip(row, widths, strict=True)))
    cells = zip(row.values(), widths, strict=True)
    print("  ".join(f"{value!s:>{width}}" for value, width in cells), flush=True)


def command() -> str:
    """Return the command that runs this program, without where its output goes."""
    flags = [flag for flag in sys.argv[1:] if not flag.startswith("--out")]
    return " ".join(["python", f"experiments/benchmarks/{Path(sys.argv[0]).name}", *flags])


def write(folder: Path, name: str, table: Sequence[Row], libraries: str, *remarks: str) -> None:
    """Write ``name.csv`` and ``name.md``, which says the command and the versions as well."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    lines = [f"`{command()}`", "", libraries, ""]
    lines += ["| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in table]
    for remark in remarks:
        lines += ["", remark]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n")
