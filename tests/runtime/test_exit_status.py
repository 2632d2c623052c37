"""Where a program ends: streams that nobody reads, machines that fail, one line and a status."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.runtime import exit_status
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.failures import failure
from tests.fixtures import SMALL, command, environment, run


def raised(function: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it raises
        function()
    return caught.value


def wrapped(error: Exception) -> Exception:
    """Return an exception that was raised from another."""

    def fail():
        raise ValueError("could not save") from error

    return raised(fail)


TENSORSTORE = (
    'OUT_OF_RANGE: Error writing "w/0" in OCDBT database at local file "/runs/a/10/": Failed '
    "writing: Failed to write 22675 bytes to file 5: File too large [os_error_code='27']"
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"), "'/a/b': No space left on"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "raise the limit on open files"),
        (OSError("no number"), "no number"),
        (ValueError(TENSORSTORE), "'/runs/a/10/': File too large; raise the limit"),
        (wrapped(OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))), "Disk quota exceeded"),
        (RuntimeError("can't start new thread"), "can't start new thread; raise the limit"),
        (MemoryError(), "out of memory"),
        (ImportError("a.so: failed to map segment from shared object"), "out of memory (a.so"),
        (RuntimeError("std::bad_alloc"), "out of memory (std::bad_alloc)"),
        (BadInputError("No space left on device"), None),
        (ValueError("labels have to be integers"), None),
        (KeyError("No space left on device"), None),
    ],
)
def test_what_the_machine_lacks_is_told_from_defects(error, line):
    found = failure(error)
    assert line in found.line if line and found else found is line


def test_exhausted_memory_is_told_whoever_asked_for_it():
    for ask in (lambda: np.ones(1 << 50), lambda: jnp.zeros(1 << 46, jnp.uint8) + 1):
        found = failure(raised(ask))
        assert found is not None
        assert found.memory
        assert "\n" not in found.line


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (BadInputError("--top=0: it has to be at least 1"), 2, "p: --top=0: it has to be"),
        (KeyboardInterrupt(), 130, "p: interrupted"),
        (OSError(errno.EROFS, "Read-only", "x"), 1, "p: 'x': Read-only; choose a place that"),
        (MemoryError(), 1, "p: out of memory; lower data.batch_size; what is saved is kept"),
        (SystemExit(3), 3, ""),
    ],
)
def test_an_exception_becomes_a_line_and_a_status(capsys, error, status, line):
    def run():
        raise error

    found = exit_status.guarded(
        "p",
        run,
        kept=lambda: "what is saved is kept",
        memory=lambda: "lower data.batch_size",
        owned=False,
    )
    assert found == status
    printed = capsys.readouterr()
    assert line in printed.err
    assert len(printed.err.splitlines()) == (1 if line else 0)
    assert printed.out == ""


def test_a_defect_keeps_its_traceback():
    def run():
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        exit_status.guarded("p", run, owned=False)


def start(body: str, redirected: str = "", **streams: Any) -> subprocess.Popen:
    """Start a program whose ``run`` has this body, with the streams that are given.

    ``redirected``: as shells write it.
    """
    program = (
        "import logging, os, sys, threading\nfrom cnn_jax.runtime import exit_status\ndef run():\n"
    )
    program += textwrap.indent(textwrap.dedent(body), "    ")
    program += "\nsys.exit(exit_status.guarded('p', run))\n"
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    shell = ["sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, program]
    return subprocess.Popen(shell, text=True, **pipes)


def ends(body: str, redirected: str = "", **streams: Any) -> tuple[int, str, str]:
    out, err = (process := start(body, redirected, **streams)).communicate(timeout=60)
    return process.returncode, out or "", err or ""


def test_results_that_nobody_reads_end_quietly():
    process = start("for i in range(1_000_000): print(i)\nreturn 0")
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_log_that_nobody_reads_ends_nothing():
    process = start(
        "for i in range(100_000): print(i, file=sys.stderr)\nprint('finished')\nreturn 0"
    )
    assert process.stdout
    assert process.stderr
    assert process.stderr.readline() == "0\n"
    process.stderr.close()
    assert process.stdout.read() == "finished\n"
    process.stdout.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_streams_that_are_not_there(tmp_path, closed):
    """What libraries write to a closed stream's number does not end in a file of the run."""
    file = tmp_path / "weights"
    body = f"""
        held = open({str(file)!r}, "wb")
        for number in {closed}: os.write(number, b"noise")
        print("result"); print("progress", file=sys.stderr)
        held.write(b"weights"); held.close()
        return 0
    """
    status, out, _ = ends(body, " ".join(f"{number}>&-" for number in closed))
    assert status == 0
    assert file.read_bytes() == b"weights"
    assert out == ("" if 1 in closed else "result\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_results_on_a_full_disk_are_one_line():
    with open("/dev/full", "w") as full:
        status, _, err = ends("print('result')\nreturn 0", stdout=full)
    line = f"p: 'standard output': {os.strerror(errno.ENOSPC)}; free some space"
    assert (status, err.splitlines()) == (1, [line])


def test_what_threads_and_libraries_say_of_a_failure_is_left_out():
    body = """
        def fail(): raise OSError(28, os.strerror(28), "/disk/file")
        def late(): raise RuntimeError("Event loop is closed")
        for target in (fail, late):
            thread = threading.Thread(target=target); thread.start(); thread.join()
        try: fail()
        except OSError:
            logging.exception("commit failed")
            raise ValueError("not saved") from sys.exception()
    """.replace("sys.exception()", "sys.exc_info()[1]")
    status, _, err = ends(body)
    line = f"p: '/disk/file': {os.strerror(28)}; free some space"
    assert (status, err.splitlines()) == (1, [line])


def test_other_exceptions_of_threads_are_shown():
    body = """
        def fail(): raise KeyError("defect")
        thread = threading.Thread(target=fail); thread.start(); thread.join()
        logging.warning("unusual")
        return 0
    """
    status, _, err = ends(body)
    assert status == 0
    assert "KeyError: 'defect'" in err
    assert err.splitlines()[-1] == "WARNING:root:unusual"


@pytest.mark.parametrize("status", [0, 2])
def test_what_callbacks_of_libraries_raise_is_shown_unless_the_program_failed(status):
    """They have nowhere to raise it; after a failure they meet loops that are closed by then."""
    body = f"""
        sys.excepthook(RuntimeError, RuntimeError("Event loop is closed"), None)
        if {status}: raise exit_status.BadInputError("checkpoint 3 is damaged")
        return 0
    """
    found, _, err = ends(body)
    assert found == status
    last = "p: checkpoint 3 is damaged" if status else "RuntimeError: Event loop is closed"
    assert err.splitlines() == [last]


def test_names_that_are_not_text_are_printed_as_they_are():
    body = "print(os.fsdecode(b'\\xff.png')); print('\\u00e9'); return 0"
    for encoding, expected in (
        ("utf-8", b"\xff.png\n\xc3\xa9\n"),
        ("ascii", b"\\udcff.png\n\\xe9\n"),
    ):
        process = start(body, env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
        assert process.stdout
        assert process.stdout.buffer.read() == expected  # pyright: ignore[reportAttributeAccessIssue]
        process.communicate()


@pytest.mark.slow
def test_training_on_a_full_disk_is_one_line_and_continues(tmp_path):
    """A limit on the size of files stands for the disk; it lies between config and checkpoint."""
    flags = [*SMALL, "--config.model.hidden=(1024,)", "--config.train.steps=6"]
    flags += ["--config.checkpoint.every=2"]
    flags += ["--config.train.log_every=100", f"--workdir={tmp_path / 'run'}"]
    assert run("prepare", "--data=digits").returncode == 0
    limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (99999, 99999)); "
    limit += "os.execv(sys.argv[1], sys.argv[1:])"
    limited = subprocess.run(
        [sys.executable, "-c", limit, *command("train", *flags)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert limited.returncode == 1
    assert "Traceback" not in limited.stderr
    last = limited.stderr.splitlines()[-1]
    assert os.strerror(errno.EFBIG) in last
    assert "the same command continues" in last
    assert not (tmp_path / "run/result.json").exists()
    done = run("train", *flags)
    assert done.returncode == 0, done.stderr
