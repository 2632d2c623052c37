"""Which code, and which libraries, a result was made with."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    names = ("cnn-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    found = {name: metadata.version(name) for name in names}
    return {"python": sys.version.split()[0]} | found


def version_line() -> str:
    """Return what is installed, in a line."""
    found = versions()
    libraries = ", ".join(f"{name} {found[name]}" for name in ("jax", "flax", "optax"))
    return f"cnn-jax {found['cnn-jax']} (Python {found['python']}, {libraries})"


def commit() -> str | None:
    """Return the commit of the code, with '+' where it was changed since; None outside git."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
