"""The edge of a program: the line and the exit status that an exception becomes.

0: done; 2: bad input; 1: anything else: one line where the machine failed (no space, no memory), a
traceback where the program did. 130: interrupted; 141: nobody reads the results any more, as after
``| head``. The last two are the numbers that shells have for SIGINT and SIGPIPE.
"""

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from cnn_jax.runtime import platforms, streams
from cnn_jax.runtime.errors import BadInputError, without_colours
from cnn_jax.runtime.failures import Failure, failure

FAILED, BAD_INPUT, INTERRUPTED, UNREAD = 1, 2, 130, 141


def guarded(
    program: str,
    run: Callable[[], int],
    *,
    kept: Callable[[], str | None] = lambda: None,
    memory: Callable[[], str | None] = lambda: None,
    owned: bool = True,
) -> int:
    """Run a program to its end; return its exit status.

    Args:
        program: its name, which begins its lines.
        run: does all of it; returns the status.
        kept: what is not lost after a failure, and how to go on.
        memory: what would take less memory.
        owned: the process is this program's. Its streams are guarded, its threads' exceptions
            become the program's one line, and after a failure it ends at once: libraries' threads
            may wait for what will not come. Otherwise ``run`` is a function that is called.
    """
    if not owned:
        return _run(program, run, kept, memory, [])
    streams.guard()
    with _noticed() as (failed, held):
        status = _run(program, run, kept, memory, failed)
        if status and (failed or held):
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(status)
    for uncaught in held:
        sys.excepthook(*uncaught)
    return status


def _run(
    program: str,
    run: Callable[[], int],
    kept: Callable[[], str | None],
    memory: Callable[[], str | None],
    failed: list[Failure],
) -> int:
    try:
        status = _status(run)
        sys.stdout.flush()
        for other in failed:  # in a thread, and nothing waited for it
            _say(program, other.line)
        return status
    except BadInputError as error:
        _say(program, str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        _say(program, "interrupted")
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.filename == streams.OUTPUT:
            streams.drop_output()
            if isinstance(error, BrokenPipeError):
                return UNREAD
        if (line := platforms.missing()) is not None:
            _say(program, line)
            return BAD_INPUT
        found = failure(error)
        if found is None:
            raise
        failed.append(found)
        hint = memory() if found.memory else None
        _say(program, "; ".join(filter(None, [found.line, hint, kept()])))
        return FAILED


def _status(run: Callable[[], int]) -> int:
    """Return the status of a program that may also end by ``SystemExit``, as argparse's help."""
    try:
        return run()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # rich's way to end then
            raise ended.__context__ from None
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)


def _say(program: str, line: str) -> None:
    print(f"{program}: {without_colours(line)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _noticed() -> Iterator[tuple[list[Failure], list[tuple[Any, BaseException, Any]]]]:
    """Yield what other threads and libraries' logs report: failures, and what is held back.

    Tracebacks of failures are left out, and of what is raised in the wake of one, on loops and
    files that are gone. What libraries' callbacks could not raise anywhere is held back until it
    is known whether the program has failed.
    """
    failed: list[Failure] = []
    held: list[tuple[Any, BaseException, Any]] = []

    def known(error: BaseException | None) -> bool:
        found = None if error is None else failure(error)
        if found is not None and found not in failed:
            failed.append(found)
        return found is not None

    def thread(arguments: Any) -> None:
        if not known(arguments.exc_value) and not failed:
            threading.__excepthook__(arguments)

    def unraisable(arguments: Any) -> None:
        printed(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    def printed(kind: Any, error: BaseException, trace: Any) -> None:
        if not known(error):
            held.append((kind, error, trace))

    def logged(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not known(error or RuntimeError(record.getMessage()))

    def warned(message: Any, *where: Any, **more: Any) -> None:
        if not known(RuntimeError(str(message))):
            show(message, *where, **more)

    handler = logging.StreamHandler()  # the root's own, where a library would set one up
    handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    handler.addFilter(logged)
    logging.getLogger().addHandler(handler)
    hooks = threading.excepthook, sys.unraisablehook, sys.excepthook
    threading.excepthook, sys.unraisablehook, sys.excepthook = thread, unraisable, printed
    show, warnings.showwarning = warnings.showwarning, warned
    try:
        yield failed, held
    finally:
        threading.excepthook, sys.unraisablehook, sys.excepthook = hooks
        warnings.showwarning = show
        logging.getLogger().removeHandler(handler)
