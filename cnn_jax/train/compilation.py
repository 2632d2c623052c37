"""Compiling a step: once, reproducibly, and not again in the next process."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.train.progress import say


class RecompilationError(Exception):
    """A step was called with arguments of other shapes, types or places than before."""


class Once:
    """A jitted function that is compiled at its first call and never again."""

    def __init__(self, function: Any, name: str, arguments: tuple[str, ...], options: Any = None):
        self._function, self._name, self._arguments = function, name, arguments
        self._options = options
        self._compiled: Callable[..., Any] | None = None
        self._first: dict[str, str] = {}

    def __call__(self, *args: Any) -> Any:
        """Call the function.

        Raises:
            RecompilationError: the arguments would need another program; names the first.
        """
        run = self._compiled
        if run is None:
            self._first = self._describe(args)
            lowered = self._function.lower(*args)
            run = self._compiled = lowered.compile(compiler_options=self._options)
        try:
            return run(*args)
        except (TypeError, ValueError) as error:
            now = self._describe(args)
            for path in {**self._first, **now}:
                before, after = self._first.get(path, "absent"), now.get(path, "absent")
                if before != after:
                    raise RecompilationError(
                        f"{self._name} would be compiled again: {path} is {after}, was {before}"
                    ) from error
            raise

    def _describe(self, args: tuple[Any, ...]) -> dict[str, str]:
        found = {}
        for name, arg in zip(self._arguments, args, strict=True):
            for path, leaf in jax.tree_util.tree_leaves_with_path(arg):
                kind = jax.typeof(leaf).str_short()
                place = getattr(leaf, "sharding", "")
                found[name + jax.tree_util.keystr(path)] = f"{kind} {place}".strip()
        return found


def hurried(function: Any, *args: Any) -> Callable[..., Any]:
    """Return a jitted function compiled for such arguments without optimisation, to run once.

    Drawing the initial weights of a ResNet-20 takes the CPU's compiler 10 s with optimisation,
    1.4 s without, and a millisecond to run.
    """
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}
    return function.lower(*args).compile(compiler_options=options)


def options(*, deterministic: bool) -> dict[str, Any]:
    """Return the compiler's options; ``deterministic`` makes repeated runs equal bit for bit.

    Only GPUs need one for that: the CPU's and the TPU's programs are deterministic as they are.
    """
    gpu = jax.default_backend() == "gpu"
    return {"xla_gpu_deterministic_ops": True} if deterministic and gpu else {}


def keep_compiled_in_cache() -> None:
    """Keep what is compiled in the user's cache folder, for the next start, if that can be."""
    folder = cache_dir() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "it is not writable"
    except OSError as error:
        reason = error.strerror
    if reason is None:
        keep_compiled(folder)
    else:
        say(f"compiled programs are not kept in {str(folder)!r}: {reason}")


def keep_compiled(folder: Path) -> None:
    """Keep compiled programs in ``folder`` for later processes, unless the user chose a place."""
    if getattr(jax.config, "jax_compilation_cache_dir") is None:  # noqa: B009, unknown to types
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
