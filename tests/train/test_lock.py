"""A run's folder belongs to one run at a time."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

import cnn_jax
from cnn_jax.train.lock import FILE, FolderInUseError, RunLock
from tests.runs.test_run import small

HOLDER = """
import sys
from pathlib import Path
from cnn_jax.train.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock of ``tmp_path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_named_and_nothing_is_touched(tmp_path, holder):
    before = (tmp_path / FILE).read_text()
    with pytest.raises(FolderInUseError) as caught:
        cnn_jax.train_and_evaluate(small("--config.train.steps=1"), tmp_path)
    assert re.search(rf"in use by process {holder.pid} on \S+ since \d{{4}}-", str(caught.value))
    assert "\n" not in str(caught.value)
    assert (tmp_path / FILE).read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_killed_process_blocks_nobody(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / FILE).exists()
    with RunLock(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / FILE).read_text()
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_one_process_exclude_each_other(tmp_path):
    with RunLock(tmp_path), pytest.raises(FolderInUseError), RunLock(tmp_path):
        pytest.fail("it is in use")
    with RunLock(tmp_path):
        pass


def test_a_folder_that_is_made_later_is_locked_then(tmp_path):
    with RunLock(tmp_path / "run") as lock:
        (tmp_path / "run").mkdir()
        lock.take()
        with pytest.raises(FolderInUseError), RunLock(tmp_path / "run"):
            pytest.fail("it is in use")


def test_of_many_that_take_turns_one_is_inside(tmp_path):
    """Also while others remove the file: an old one that is still open is no lock."""
    inside, most = [], []

    def work():
        for _ in range(50):
            try:
                with RunLock(tmp_path):
                    inside.append(None)
                    most.append(len(inside))
                    inside.pop()
            except FolderInUseError:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_of_two_trainings_one_goes_on(tmp_path):
    from tests.fixtures import SMALL, command, environment

    flags = [*SMALL, "--config.train.steps=300", "--config.checkpoint.every=10"]
    arguments = command("train", *flags, f"--workdir={tmp_path / 'run'}")
    both = [
        subprocess.Popen(
            arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ends = sorted((process.communicate()[1], process.returncode) for process in both)
    ends.sort(key=lambda end: end[1])
    assert [status for _, status in ends] == [0, 2]
    last = ends[1][0].splitlines()
    assert len([text for text in last if "is in use by process" in text]) == 1
    assert "Traceback" not in ends[0][0] + ends[1][0]
