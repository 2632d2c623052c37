"""The library's own configs: in a clone beside the package, in a wheel inside it.

A config's docstring is a lab note. Of its paragraphs, those that begin with a label are listed by
``cnn-jax configs``.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

CONFIGS = "configs"
LABELS = ("Paper", "Data", "Published", "Result")
_PACKAGE = Path(__file__).parents[1]


class Note(NamedTuple):
    """What a config's docstring says of it; a label that it lacks is empty."""

    title: str
    paper: str
    data: str
    published: str
    result: str


def configs() -> dict[str, Path]:
    """Return name -> file of the library's own configs, sorted."""
    inside = _PACKAGE / CONFIGS
    place = inside if inside.is_dir() else _PACKAGE.parent / CONFIGS
    return {file.stem: file for file in sorted(place.glob("[!_]*.py"))}


def is_name(text: str) -> bool:
    """Return whether ``--config=TEXT`` means one of the library's own, not a file."""
    return re.fullmatch(r"[\w-]+", text) is not None


def note(file: Path) -> Note:
    """Return what a config's docstring says; nothing of the file is executed."""
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    title, _, rest = text.partition("\n")
    found = dict.fromkeys(LABELS, "")
    pattern = rf"^({'|'.join(LABELS)}): (.*?)(?=\n(?:{'|'.join(LABELS)}): |\n\n|\Z)"
    for label, words in re.findall(pattern, rest, re.MULTILINE | re.DOTALL):
        found[label] = " ".join(words.split())
    return Note(title, *(found[label] for label in LABELS))
