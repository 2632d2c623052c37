"""A summary as a table on a terminal."""

from typing import Any

from rich.table import Table

from cnn_jax.analysis.summary import Summary


def _size(value: Any) -> str:
    if value is None:
        return "-"
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def summary_table(summary: Summary) -> Table:
    """Return a rich table of ``summary``'s rows, with the totals for one image at its foot."""
    table = Table(
        title=f"{summary.model} on {_size(summary.input_shape)}",
        caption="for one image; 1 MAC = 1 multiply-add, padded positions counted",
        show_footer=True,
    )
    table.add_column("layer", footer="total", overflow="fold")
    table.add_column("kind")
    table.add_column("output", justify="right")
    table.add_column("parameters", f"{summary.params:,}", justify="right")
    table.add_column("MACs", f"{summary.macs:,}", justify="right")
    table.add_column("field", justify="right")
    table.add_column("jump", justify="right")
    table.add_column("KiB", f"{summary.activation_bytes / 1024:,.1f}", justify="right")
    for row in summary.rows:
        table.add_row(
            row.path,
            row.kind,
            _size(row.output_shape),
            f"{row.params:,}",
            f"{row.macs:,}",
            _size(row.receptive_field),
            _size(row.jump),
            f"{row.activation_bytes / 1024:,.1f}",
        )
    return table
