"""Where pictures go, and in which formats."""

import dataclasses
from pathlib import Path

from cnn_jax.runtime.figures import PNG


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where pictures go.

    Attributes:
        folder: that exists.
        formats: a picture is one file in each.
    """

    folder: Path
    formats: tuple[str, ...] = (PNG,)

    def files(self, name: str) -> list[Path]:
        """Return the files of a picture."""
        return [self.folder / f"{name}.{kind}" for kind in self.formats]
