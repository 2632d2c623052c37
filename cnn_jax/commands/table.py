"""Tables on stdout: as wide as a terminal, else as their content."""

import sys
from collections.abc import Sequence

WIDE = 160  # where nobody says how wide


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under the names of their columns; > before a name aligns it to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.removeprefix(">"), justify="right" if right else "left")
    for row in rows:
        made.add_row(*row)
    terminal = sys.stdout.isatty()
    Console(width=None if terminal else WIDE, highlight=False, markup=False).print(made)
