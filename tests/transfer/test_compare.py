"""The report of an import: layer by layer, and it finds what is wrong."""

from functools import partial

import numpy as np
import pytest
import safetensors.numpy

from cnn_jax.transfer import import_report
from cnn_jax.transfer.reference import cifar_resnet

pytest.importorskip("torch")


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_report_has_a_row_for_each_layer_in_order_and_small_differences(tmp_path, shortcut):
    network = cifar_resnet(3, 6, shortcut)
    tensors = {key: value.numpy() for key, value in network.state_dict().items()}
    rng = np.random.default_rng(0)
    for key, value in tensors.items():
        noise = rng.standard_normal(value.shape).astype(np.float32)
        if key.endswith("running_var"):
            tensors[key] = 0.5 + np.abs(noise)
        elif key.endswith(("running_mean", "bias")):
            tensors[key] = 0.1 * noise
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(tensors, path)
    images = rng.standard_normal((1, 16, 16, 3))
    rows = import_report("resnet20", path, images=images, shortcut=shortcut)
    paths = [row.path for row in rows]
    assert paths[:3] == ["conv1", "bn1", "stage1_block1/conv1"]
    assert paths[-2:] == ["head", ""]
    assert len(paths) == 2 + 9 * 4 + 2 + (4 if shortcut == "B" else 0)
    assert ("stage2_block1/proj" in paths) == (shortcut == "B")
    for row in rows:
        assert row.largest > 0
        assert row.difference <= 1e-5 * row.largest, row


def test_a_report_finds_the_layer_that_computes_something_else(tmp_path, monkeypatch):
    from cnn_jax.models import resnet

    network = cifar_resnet(3, 6)
    tensors = {key: value.numpy() for key, value in network.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(tensors, path)
    right = resnet.layers.BatchNorm
    monkeypatch.setattr(resnet.layers, "BatchNorm", partial(right, epsilon=1e-1))
    rows = import_report("resnet20", path, images=np.ones((1, 8, 8, 3)))
    off = [row.path for row in rows if row.difference > 1e-5 * row.largest]
    assert off[0] == "bn1"
