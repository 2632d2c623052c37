"""A page of all pictures of a run: one HTML file that needs no other."""

import base64
import html
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject
from cnn_jax.runs import workdir
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.figures import PNG, SVG, format_of

FILE = "report.html"
MEDIA_TYPES = {PNG: "image/png", SVG: "image/svg+xml"}  # of the formats that browsers show

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100%; display: block; margin: .5rem 0 }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
.left-out { color: #777 }
"""


def draw_all(
    kinds: Mapping[str, Callable[[Subject, Destination], list[Path]]],
    subject: Subject,
    out: Destination,
) -> list[Path]:
    """Draw every kind and put all pictures into one page; return its file and theirs.

    The page shows those whose format a browser shows: PNG and SVG.

    A kind that this network or these data do not allow is left out, and the page says why.
    """
    parts, files = [], []
    for name, draw in kinds.items():
        print(f"drawing {name}", file=sys.stderr)
        text = " ".join((draw.__doc__ or "").split())
        parts.append(f"<h2>{html.escape(name)}</h2><p>{html.escape(text)}</p>")
        try:
            drawn = draw(subject, out)
        except BadInputError as error:
            parts.append(f'<p class="left-out">left out: {html.escape(str(error))}</p>')
            continue
        files += drawn
        for file in drawn:
            if (kind := MEDIA_TYPES.get(format_of(file))) is None:
                continue
            data = base64.b64encode(file.read_bytes()).decode()
            label = html.escape(f"{name}: {subject.title}")
            parts.append(f'<img alt="{label}" src="data:{kind};base64,{data}">')
    title = html.escape(subject.title)
    page = out.folder / FILE
    workdir.write(
        page,
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n",
    )
    return [page, *files]
