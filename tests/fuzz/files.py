"""Damaged files: what is read is what was written, or one line says which file is wrong.

    python -m tests.fuzz.files --cases=3000 --jobs=2

Each case takes a fresh copy of something real - a finished run, one that was killed, a prepared
set, its decoded images, a study, an exported network, an index of images, weights, pictures -,
damages one of its files and uses it. The use has to give the same numbers as before the damage,
or to be refused in one line. A traceback, a hang or another number is a failure.
"""

import contextlib
import io
import os
import shutil
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.runtime.errors import BadInputError
from tests.fuzz import campaign
from tests.fuzz.damage import damage
from tests.fuzz.fields import limited
from tests.fuzz.kinds import KINDS, Kind

SECONDS = 120

_before: dict[tuple[Path, str], Any] = {}


def one(seed: int, number: int, folder: Path) -> tuple[str, str]:
    """Run a case; return (kind of outcome, what to print of it)."""
    rng = np.random.default_rng([seed, number])
    shares = np.array([kind.share for kind in KINDS])
    kind = KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
    about = ""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as scratch:
        # Always the same place: some of what is compared names it.
        place = Path(scratch) / kind.name
        shutil.copytree(folder / kind.name / "own", place)
        try:
            with limited(SECONDS), contextlib.redirect_stderr(said), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = _expected(kind, folder)
                with _cache(place):
                    kind.ready(place)
                files = sorted(kind.files(place))
                file = files[int(rng.integers(len(files)))]
                twin = folder / kind.name / "other" / file.relative_to(place)
                # A thing of one file that is replaced by another is another, and whole.
                twin = twin if len(files) > 1 and twin.exists() else None
                how = damage(rng, file, [f for f in files if f != file], twin)
                about = f"{kind.name}: {file.relative_to(place)}: {how}"
                ended = _use(kind, place, expected)
        except Exception:
            ended = "traceback: " + traceback.format_exc()
    what, _, rest = ended.partition(":")
    return what, f"{about}\n{rest.strip()}\n{said.getvalue()[-600:]}"


def _expected(kind: Kind, folder: Path) -> Any:
    """Return what an undamaged copy gives, computed once a process."""
    key = folder, kind.name
    if key not in _before:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / kind.name
            shutil.copytree(folder / kind.name / "own", place)
            with _cache(place):
                _before[key] = kind.use(place)
    return _before[key]


def _use(kind: Kind, place: Path, expected: Any) -> str:
    try:
        with _cache(place):
            found = kind.use(place)
    except BadInputError as error:
        lines = str(error).splitlines()
        return f"refused: {error}" if len(lines) == 1 else f"not one line: {error}"
    if kind.foreign or found == expected:
        return "same"
    return f"differs: {_difference(expected, found)}"


def _difference(expected: Any, found: Any) -> str:
    if isinstance(expected, dict) and isinstance(found, dict):
        names = [name for name in expected if expected[name] != found.get(name)]
        return "; ".join(f"{n}: {expected[n]!r:.300} became {found.get(n)!r:.300}" for n in names)
    return f"{expected!r:.300} became {found!r:.300}"


@contextlib.contextmanager
def _cache(place: Path):
    """Use the copy's own cache, where it has one."""
    before = os.environ["CNN_JAX_CACHE"]
    if (place / "cache").is_dir():
        os.environ["CNN_JAX_CACHE"] = str(place / "cache")
    try:
        yield
    finally:
        os.environ["CNN_JAX_CACHE"] = before


def prepare(folder: Path) -> None:
    """Make each kind twice: what is damaged, and another of its sort."""
    from cnn_jax.train import compilation

    compilation.keep_compiled(folder / "compiled")
    with contextlib.redirect_stderr(io.StringIO()):
        for kind in KINDS:
            for name, seed in (("own", 0), ("other", 1)):
                place = folder / kind.name / name
                place.mkdir(parents=True)
                kind.make(place, seed)


if __name__ == "__main__":
    campaign.main(__spec__.name, one, prepare, good=("same", "refused"))
