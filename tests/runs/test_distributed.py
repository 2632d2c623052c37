"""Several processes on the loopback address: one run, one end."""

import os
import signal
import subprocess
import time

import pytest

from cnn_jax.runtime import distributed
from cnn_jax.runtime.errors import BadInputError
from tests import fixtures
from tests.runs.test_strategies import assert_same, finish, start_together

LONG = [*fixtures.SMALL, "--config.train.log_every=5", "--config.checkpoint.every=100"]


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "4"}, False),  # an allocation's shell, not one of its tasks
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "1", "SLURM_STEP_NODELIST": "a,b"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_NODELIST": "a"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
    ],
)
def test_surroundings(environment, several):
    assert distributed.in_cluster(environment) is several


def test_flags_that_do_not_go_together():
    with pytest.raises(BadInputError, match="--process is missing"):
        distributed.start("127.0.0.1:1", 2)
    with pytest.raises(BadInputError, match="--process=2: it has to be in 0"):
        distributed.start("127.0.0.1:1", 2, 2)
    for address in (
        "localhost",
        "localhost:",
        ":80",
        "a:b",
        "a:0",
        "a:65536",
        "::1:80",
        "",
        "a b:1",
    ):
        with pytest.raises(BadInputError, match="it has to be HOST:PORT"):
            distributed.start(address, 2, 0)
    assert all(map(distributed._is_address, ("localhost:1", "10.0.0.1:65535", "[::1]:80")))


def wait_for(file, processes, seconds=120):
    deadline = time.monotonic() + seconds
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline
        for process in processes:
            assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


@pytest.mark.slow
def test_sigterm_to_one_stops_both_with_the_state_saved(tmp_path):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    flags = [*LONG, "--config.train.steps=3000"]
    processes = start_together(folder, *flags, devices=1)
    wait_for(folder / "metrics.jsonl", processes)
    processes[1].send_signal(signal.SIGTERM)
    told = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], told
    assert ["the state is saved" in err for err in told] == [True, False]
    finish(*start_together(folder, *flags, devices=1))
    finish(*start_together(whole, *flags, devices=1))
    assert_same(folder, whole, tolerance=0)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_with_one_line(tmp_path):
    processes = start_together(tmp_path / "run", *LONG, "--config.train.steps=100000", devices=1)
    wait_for(tmp_path / "run" / "metrics.jsonl", processes)
    os.kill(processes[1].pid, signal.SIGKILL)
    processes[1].communicate()
    begin = time.monotonic()
    try:
        _, err = processes[0].communicate(timeout=120)
    except subprocess.TimeoutExpired:
        processes[0].kill()
        raise
    assert processes[0].returncode == 1
    assert "another process of this run has ended" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert time.monotonic() - begin < 2 * distributed.HEARTBEAT_SECONDS


@pytest.mark.slow
def test_pmap_in_several_processes_is_refused(tmp_path):
    flags = [*LONG, "--config.train.steps=5", "--config.train.strategy=pmap"]
    for process in start_together(tmp_path / "run", *flags, devices=1):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert "train.strategy=pmap works in one process, not in 2; take jit" in err
        assert "Traceback" not in err
    assert not (tmp_path / "run").exists()
