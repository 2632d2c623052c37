"""What a cell's id covers: what decides its numbers, and nothing else."""

import os
import shutil

import pytest

from cnn_jax.ablation import counting, worker
from cnn_jax.ops.cpu import build_onednn


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a copy of the package that is taken for it."""
    copy = shutil.copytree(counting.PACKAGE, tmp_path / "cnn_jax")
    monkeypatch.setattr(counting, "PACKAGE", copy)
    return copy


@pytest.mark.parametrize(
    ("name", "decides"),
    [
        ("ops/conv.py", True),
        ("ops/cpu/convolution.cc", True),
        ("train/step.py", True),
        ("tasks/losses.py", True),
        ("runs/run.py", True),
        ("ablation/gradients.py", True),
        ("ablation/report.py", False),
        ("commands/main.py", False),
        ("deploy/predict.py", False),
        ("inspection/subject.py", False),
        ("planning/plan.py", False),
    ],
)
def test_only_what_decides_numbers_is_another_version(package, name, decides):
    before = counting.code_version()
    assert counting.code_version() == before
    with (package / name).open("a") as file:
        file.write("\n")
    assert (counting.code_version() != before) == decides


def test_another_number_of_threads_is_another_version():
    assert len({counting.code_version(threads) for threads in (None, 1, 2)}) == 3


def test_all_workers_have_as_many_threads(monkeypatch):
    cores, taken = range(4, 11), []
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(cores))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, own: taken.append(set(own)))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    for slot in range(3):
        worker.take_share(slot, 3)
    assert [len(own) for own in taken] == [worker.threads(3)] * 3 == [2] * 3
    assert not set.intersection(*taken)
    assert worker.threads(1) == worker.threads(8) == 7


def test_another_onednn_is_another_version(monkeypatch):
    before = counting.code_version()
    monkeypatch.setattr(build_onednn, "installed", lambda: {"onednn-cpu-gomp": "0.0"})
    assert counting.code_version() != before
