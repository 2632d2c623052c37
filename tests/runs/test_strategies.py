"""The same run on other devices, strategies and processes: the same numbers.

In float64, where rounding cannot hide a mistake; runs are processes of their own, since the number
of devices is settled when a process starts.
"""

import json
import socket
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

import cnn_jax
from tests import fixtures

RESNET = [
    "--config=configs/lenet5_digits.py",
    "--config.model.name=resnet20",
    "--config.data.image_size=8",
    "--config.data.batch_size=32",
    '--config.data.augment={"pad_crop": {"padding": 1}}',
    "--config.train.steps=20",
    "--config.train.log_every=1",
]
LAST_LINE = {"validation", "test"}


def start(workdir, devices, *flags):
    return subprocess.Popen(
        fixtures.command("train", *flags, f"--workdir={workdir}"),
        env=fixtures.environment(
            XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}", JAX_PLATFORMS="cpu"
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, err or out


def losses(workdir):
    lines = map(json.loads, Path(workdir, "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["split"] == "train"]


def shape(workdir):
    """Return (devices, strategy): what is to differ between two runs."""
    result, config = (
        json.loads(Path(workdir, name).read_text()) for name in ("result.json", "config.json")
    )
    return len(result["devices"]), config["train"]["strategy"]


def train(folder, devices, strategy, *flags):
    """Train for 20 steps; return the run's folder."""
    workdir = folder / f"{devices}-{strategy}"
    finish(start(workdir, devices, *flags, f"--config.train.strategy={strategy}"))
    assert shape(workdir) == (devices, strategy)
    assert len(losses(workdir)) == 20
    return workdir


def assert_same(one, other, *, tolerance):
    assert losses(one) == pytest.approx(losses(other), rel=0, abs=tolerance)
    (_, a, _), (_, b, _) = cnn_jax.load_run(one), cnn_jax.load_run(other)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=tolerance), a, b)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_together(workdir, *flags, processes=2, devices=2):
    coordinator = f"--coordinator=127.0.0.1:{free_port()}"
    return [
        start(workdir, devices, *flags, coordinator, f"--processes={processes}", f"--process={i}")
        for i in range(processes)
    ]


@pytest.mark.slow
def test_twenty_steps_of_resnet20_do_not_depend_on_devices_strategy_or_processes(tmp_path):
    flags = [*RESNET, "--config.train.precision=float64"]
    reference = train(tmp_path, 1, "jit", *flags)
    for devices, strategy in [(1, "pmap"), (2, "jit"), (2, "pmap"), (8, "jit"), (8, "pmap")]:
        other = train(tmp_path, devices, strategy, *flags)
        assert shape(other) != shape(reference)
        assert_same(reference, other, tolerance=1e-9)
    together = tmp_path / "together"
    finish(*start_together(together, *flags))
    assert shape(together) == (4, "jit")
    assert_same(reference, together, tolerance=1e-9)


@pytest.mark.slow
def test_float32_losses_agree_at_a_small_learning_rate(tmp_path):
    # At ResNet-20's own size and batch. A rounding that turns the sign of a ReLU's input weighs
    # more the fewer images share a gradient: in batches of 32, losses drift apart by 1e-4 to 1e-3
    # in these steps, and by 3e-4 on one device whose convolutions round in another way.
    flags = [
        "--config=configs/resnet20_cifar10.py",
        "--config.data.name=synthetic",
        "--config.data.image_size=32",
        "--config.data.test=test[:128]",
        "--config.optim.learning_rate=0.001",
        "--config.train.steps=20",
        "--config.train.log_every=1",
    ]
    reference = train(tmp_path, 1, "jit", *flags)
    for devices, strategy in [(2, "jit"), (8, "jit"), (8, "pmap")]:
        other = train(tmp_path, devices, strategy, *flags)
        assert shape(other) != shape(reference)
        assert losses(reference) == pytest.approx(losses(other), rel=0, abs=1e-4)


@pytest.mark.slow
def test_saved_on_eight_devices_and_continued_on_two(tmp_path):
    flags = [
        *RESNET,
        "--config.train.precision=float64",
        "--config.train.steps=10",
        "--config.checkpoint.every=5",
    ]
    whole, moved = tmp_path / "whole", tmp_path / "moved"
    finish(start(whole, 8, *flags))
    process = start(moved, 8, *flags)
    while process.poll() is None and not (moved / "checkpoints" / "5").exists():
        continue
    process.kill()
    process.communicate()
    before = cnn_jax.load_run(moved, step=5)[1]
    jax.tree.map(np.testing.assert_array_equal, before, cnn_jax.load_run(whole, step=5)[1])
    finish(start(moved, 2, *flags, "--config.train.shard_state=True"))
    assert shape(moved)[0] == 2
    assert_same(whole, moved, tolerance=1e-9)
