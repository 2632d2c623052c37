"""The house's measures: a module and a function are read at one sitting, and rooms hold modules."""

import ast
from pathlib import Path

import pytest

import cnn_jax

ROOT = Path(cnn_jax.__file__).parent
MODULE_LINES, FUNCTION_LINES = 300, 60
OUTSIDE_ROOMS = {"__init__.py", "__main__.py", "registry.py", "py.typed"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES
    lengths = {
        f"{node.name} (line {node.lineno})": (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_every_module_is_in_a_room():
    assert {path.name for path in ROOT.iterdir() if path.is_file()} <= OUTSIDE_ROOMS
