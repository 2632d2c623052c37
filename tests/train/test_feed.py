"""The examples of a run on its devices: the same for any number of them, of processes, readers."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from cnn_jax.data import order
from cnn_jax.data.parts import Part
from cnn_jax.data.preprocessing import Preprocessing
from cnn_jax.train import feed, sharding
from cnn_jax.train.setup import Setup
from tests.fixtures import environment

N, BATCH, SEED = 50, 16, 3
STEPS = -(-3 * N // BATCH)


# Images whose one pixel is their row.
PART = Part(np.arange(N, dtype=np.uint8).reshape(N, 1, 1, 1), np.arange(N, dtype=np.int32))


def batches_of(mesh, put) -> feed.Feed:
    shown = Preprocessing((1, 1, 1), 0, None, None)
    setup = Setup(None, None, None, shown, BATCH, STEPS, seed=SEED)
    part: Any = PART  # read like one that is streamed
    return feed.Feed(setup, part, mesh, put)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return np.concatenate([order.permutation(SEED, epoch, N) for epoch in range(4)])


def mesh_of(devices: int):
    return jax.make_mesh(
        (devices,),
        (sharding.AXIS,),
        axis_types=(AxisType.Auto,),
        devices=jax.devices()[:devices],
    )


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("start", [0, 5])
def test_three_epochs_are_the_same_examples_on_any_number_of_devices(expected, devices, start):
    mesh = mesh_of(devices)
    batches = batches_of(mesh, feed.globally(mesh))
    seen = []
    for step in range(start, STEPS):
        images, labels = batches.take(step)
        assert len(images.addressable_shards) == devices
        np.testing.assert_array_equal(np.asarray(images).ravel(), labels)
        seen.append(np.asarray(labels))
    batches.close()
    np.testing.assert_array_equal(np.concatenate(seen), expected[start * BATCH : STEPS * BATCH])


def test_pmap_gets_the_same_examples_with_an_axis_of_devices(expected):
    batches = batches_of(mesh_of(8), feed.by_device)
    images, labels = batches.take(2)
    batches.close()
    assert images.shape == (8, 2, 1, 1, 1)
    np.testing.assert_array_equal(labels.ravel(), expected[2 * BATCH : 3 * BATCH])


def test_going_back_begins_again(expected):
    batches = batches_of(mesh_of(1), feed.globally(mesh_of(1)))
    first = [np.asarray(batches.take(step)[1]) for step in (0, 1, 7, 1)]
    batches.close()
    np.testing.assert_array_equal(first[1], first[3])
    np.testing.assert_array_equal(first[2], expected[7 * BATCH : 8 * BATCH])


PROGRAM = """
import sys
import numpy as np
from cnn_jax.runtime import distributed
from cnn_jax.train import feed
from cnn_jax.train import sharding
from tests.train.test_feed import STEPS, batches_of
distributed.start(f"127.0.0.1:{sys.argv[2]}", 2, int(sys.argv[1]))
mesh = sharding.make_mesh()
batches = batches_of(mesh, feed.globally(mesh))
for step in range(STEPS):
    _, labels = batches.take(step)
    shards = sorted(labels.addressable_shards, key=lambda shard: shard.index[0].start)
    print("labels", *np.concatenate([shard.data for shard in shards]))
batches.close()
distributed.wait_for_all("done")
"""


@pytest.mark.slow
def test_two_processes_read_their_halves_of_the_same_batches(expected):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    flags = environment(XLA_FLAGS="--xla_force_host_platform_device_count=4")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(place), port],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=flags,
            cwd=Path(__file__).parents[2],
        )
        for place in (0, 1)
    ]
    printed = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    halves = [
        np.array([line.split()[1:] for line in out.splitlines() if line.startswith("labels")], int)
        for out, _ in printed
    ]
    assert halves[0].shape == halves[1].shape == (STEPS, BATCH // 2)
    seen = np.concatenate(halves, axis=1).ravel()
    np.testing.assert_array_equal(seen, expected[: STEPS * BATCH])
