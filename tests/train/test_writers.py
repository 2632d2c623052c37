"""TensorBoard and Weights & Biases, read back."""

import pytest

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.writers import check_writers, open_writer


def test_an_unknown_writer_is_named():
    with pytest.raises(BadInputError, match=r"train\.writers has 'tensorbord'"):
        check_writers(["tensorbord"])


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=r"needs wandb, .* pip install 'cnn-jax\[wandb\]'"):
        check_writers(["wandb"])


def test_tensorboard_gets_the_numbers(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    writer = open_writer("tensorboard", tmp_path, {})
    writer.write(10, "train", {"loss": 0.5})
    writer.write(20, "train", {"loss": 0.25})
    writer.close()
    (file,) = (tmp_path / "tensorboard" / "train").iterdir()
    data, found = file.read_bytes(), []
    while data:  # length (8), its checksum (4), the event, its checksum (4)
        length = int.from_bytes(data[:8], "little")
        event = Event()
        event.ParseFromString(data[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    assert found == [(10, "loss", 0.5), (20, "loss", 0.25)]


def test_weights_and_biases_keeps_an_offline_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    writer = open_writer("wandb", tmp_path, {"seed": 0})
    writer.write(10, "train", {"loss": 0.5})
    writer.close()
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 1
    assert files[0].stat().st_size > 0
