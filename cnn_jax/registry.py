"""Names and what they stand for: tables of objects, those of plug-ins among them.

A table has the library's own objects, and what ``register`` adds: called by a config file, by a
module or file that ``--import`` names, or by an installed package (entry points of the group
``cnn_jax.plugins``). Reading a run folder calls none of them.
"""

import contextlib
import difflib
import hashlib
import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cnn_jax.runtime import python_file
from cnn_jax.runtime.errors import BadInputError

T = TypeVar("T")

GROUP = "cnn_jax.plugins"


class Plugin(NamedTuple):
    """Where registered objects come from.

    Attributes:
        name: what ``--import`` was given, or the name of an installed package.
        version: of the package, or the digest of the file; None where nobody knows.
        file: that other processes import instead, where the plug-in is one.
        installed: found without ``--import``.
    """

    name: str
    version: str | None = None
    file: Path | None = None
    installed: bool = False


_TABLES: dict[str, dict[str, Any]] = {
    kind: {}
    for kind in (
        *("model", "layer", "task", "metric", "optimizer", "schedule", "transform", "dataset"),
    )
}
_origins: dict[tuple[str, str], Plugin] = {}
_loading: ContextVar[Plugin | None] = ContextVar("loading", default=None)
_imported: dict[str, Plugin] = {}
_installed_are_loaded = False


def table(kind: str, own: Mapping[str, T]) -> dict[str, T]:
    """Return the table of a kind, which holds the library's ``own`` objects by name."""
    held = _TABLES[kind]
    for name in own:
        if (plugin := _origins.get((kind, name))) is not None:
            raise BadInputError(_taken(kind, name, plugin, None))
    held.update(own)
    return held


def register(kind: str, name: str, what: Any) -> None:
    """Make an object available under a name in configs.

    Args:
        kind: ``model``, ``layer`` (a module class, or a function such as an activation, that a
            model has in a field), ``task``, ``metric``, ``optimizer``, ``schedule``,
            ``transform`` or ``dataset``.
        name: of letters, digits, ``_`` and ``-``.
        what: the object.

    Raises:
        BadInputError: an unknown kind, a name that is none, or one that is taken by another.
    """
    if kind not in _TABLES:
        raise BadInputError(
            f"register: there is no kind {kind!r}; did you mean {suggestion(kind, _TABLES)}?"
        )
    if not isinstance(name, str) or re.fullmatch(r"[\w-]+", name) is None:
        raise BadInputError(
            f"register: a {kind} called {name!r}; a name has letters, digits, _ and - only"
        )
    held, plugin = _origins.get((kind, name)), _loading.get() or _of_script()
    if name in _TABLES[kind] and (held is None or held.name != plugin.name):
        raise BadInputError(_taken(kind, name, plugin, held))
    _origins[kind, name] = plugin
    _TABLES[kind][name] = what


def _taken(kind: str, name: str, plugin: Plugin, by: Plugin | None) -> str:
    whose = "cnn-jax's own" if by is None else f"{by.name}'s"
    return (
        f"{plugin.name} registers the {kind} {name!r}, a name that is {whose}; choose another name"
    )


def _of_script() -> Plugin:
    """Return what stands for the program itself, such as a study's file."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if file is None or not file.endswith(".py"):
        return Plugin("this program")
    return _of_file(file, Path(file))


def _of_file(name: str, path: Path) -> Plugin:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Plugin(name, f"sha256:{digest}", path.resolve())


def origin(kind: str, name: str) -> Plugin | None:
    """Return where a registered object comes from; None for the library's own."""
    return _origins.get((kind, name))


def registered() -> list[tuple[str, str, Plugin]]:
    """Return (kind, name, where it comes from) of all that plug-ins have registered."""
    return [(kind, name, plugin) for (kind, name), plugin in sorted(_origins.items())]


def is_known(kind: str, name: str) -> bool:
    """Return whether there is such an object, perhaps of an installed plug-in."""
    if name not in _TABLES[kind]:
        load_installed()
    return name in _TABLES[kind]


@contextlib.contextmanager
def registering(spec: str, path: Path) -> Iterator[None]:
    """Let a file that is executed inside, which ``spec`` names, register objects as its own."""
    token = _loading.set(_of_file(spec, path))
    try:
        yield
    finally:
        _loading.reset(token)


# What argparse takes for the flag: commands and studies have parsers of their own.
IMPORT: dict[str, Any] = {
    "action": "append",
    "default": [],
    "dest": "imports",
    "metavar": "MODULE|FILE.py",
    "help": "what registers models, tasks, transforms and so on; may be given several times",
}


def import_plugins(specs: Iterable[str]) -> None:
    """Import what ``--import`` names, each as ``import_plugin`` does."""
    for spec in specs:
        import_plugin(spec)


def import_plugin(spec: str) -> None:
    """Import what ``--import`` names, once: ``FILE.py``, or a module that Python finds.

    Raises:
        BadInputError: there is none, it raises, or a name that it registers is taken.
    """
    if not spec:
        raise BadInputError("--import is empty; it has to name a module or a file (NAME.py)")
    path = Path(spec).expanduser()
    is_file = spec.endswith(".py") or path.is_file()
    if is_file and not path.is_file():
        raise BadInputError(f"--import: there is no file {spec!r}")
    plugin = _of_file(spec, path) if is_file else Plugin(spec, _version_of(spec))
    if spec in _imported and _imported[spec] == plugin:
        return
    _run(plugin, lambda: _file(path) if is_file else _module(spec), "--import")
    _imported[spec] = plugin


def _file(path: Path) -> None:
    with python_file.beside(path.parent.resolve()):
        python_file.load(path)


def _module(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        top = name.partition(".")[0]
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise BadInputError(
            f"there is no module {name!r}; install what has {top!r}, or name a file (NAME.py)"
        ) from None


def _run(plugin: Plugin, load: Any, flag: str) -> None:
    """Call what loads a plug-in; it registers all of its objects or none."""
    before = set(_origins)
    token = _loading.set(plugin)
    try:
        load()
    except (Exception, SystemExit) as error:
        for kind, name in _origins.keys() - before:
            del _TABLES[kind][name], _origins[kind, name]
        own = isinstance(error, BadInputError)
        why = str(error) if own else python_file.reason(error, plugin.file)
        raise BadInputError(f"{flag}: {plugin.name}: {why}") from error
    finally:
        _loading.reset(token)


def _version_of(module: str) -> str | None:
    from importlib import metadata

    packages = metadata.packages_distributions().get(module.partition(".")[0], [])
    return metadata.version(packages[0]) if packages else None


def load_installed() -> None:
    """Load the plug-ins of installed packages, once: modules, or functions that are called.

    Raises ``BadInputError`` for one that raises, or registers a name that is taken.
    """
    global _installed_are_loaded
    if _installed_are_loaded:
        return
    _installed_are_loaded = True
    from importlib import metadata

    for entry in metadata.entry_points(group=GROUP):
        version = None if entry.dist is None else entry.dist.version
        package = entry.name if entry.dist is None else entry.dist.name

        def load(entry: metadata.EntryPoint = entry) -> None:
            made = entry.load()
            if callable(made):
                made()

        _run(Plugin(package, version, installed=True), load, f"plug-in {entry.name}")


def imports() -> list[str]:
    """Return what another process has to import to know the names that this one does."""
    used = [*_imported.values(), *_origins.values()]
    specs = [str(each.file or each.name) for each in used if not each.installed]
    return [spec for spec in dict.fromkeys(specs) if spec != "this program"]


def nearest(name: str, known: Iterable[str], count: int = 1) -> list[str]:
    """Return at most ``count`` of the known names that ``name`` may be meant as, the best first.

    None where no name is similar: those shown share at least 0.6 of their characters
    (``difflib.get_close_matches``).
    """
    return difflib.get_close_matches(name, known, n=count)


def suggestion(name: str, known: Iterable[str], count: int = 1) -> str:
    """Return what to name instead, for a message: the nearest names, else all, with commas."""
    known = list(known)
    return ", ".join(nearest(name, known, count) or known)


def look_up(table: Mapping[str, T], name: str, what: str, count: int = 1) -> T:
    """Return what a table has under ``name``; for one of a kind, installed plug-ins are asked.

    Args:
        table: name -> object.
        name: as it was given.
        what: begins the message, such as "unknown model".
        count: names that the message suggests at most, where some are near.

    Raises:
        BadInputError: the table has no such name; the line has the nearest, else all.
    """
    if name not in table and any(table is held for held in _TABLES.values()):
        load_installed()
    if name not in table:
        meant = suggestion(name, sorted(table), count)
        raise BadInputError(f"{what} {name!r}; did you mean {meant}?")
    return table[name]


def check_choice(field: str, name: str, known: Iterable[str]) -> None:
    """Raise ``BadInputError`` with the nearest name unless a field's ``name`` is a known one."""
    known = list(known)
    if name not in known:
        raise BadInputError(f"{field} is {name!r}; there is {suggestion(name, known)}")
