"""A summary counts what the traced program does, for the zoo and for modules of anyone's."""

import io
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from cnn_jax.analysis import summarize
from cnn_jax.analysis.table import summary_table
from cnn_jax.models import create
from cnn_jax.nn import layers
from cnn_jax.runtime.errors import BadInputError


class Foreign(nn.Module):
    """A module that knows nothing of this project: flax layers, no ``train``."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (3, 3), strides=2, name="strided")(x)
        x = nn.Conv(8, (3, 3), feature_group_count=4, name="grouped")(x)
        x = nn.avg_pool(x, (2, 2), (2, 2))
        return nn.Dense(5, name="dense")(x.reshape(x.shape[0], -1))


def test_a_foreign_module_is_counted_as_exactly():
    summary = summarize(Foreign(), (16, 16, 3))
    macs = {row.path: row.macs for row in summary.rows}
    assert macs == {
        "strided": 8 * 8 * 9 * 3 * 8,
        "grouped": 8 * 8 * 9 * 2 * 8,
        "avg_pool_1": 0,
        "dense": 4 * 4 * 8 * 5,
    }
    assert summary.params == (9 * 3 * 8 + 8) + (9 * 2 * 8 + 8) + (128 * 5 + 5)
    assert [row.output_shape for row in summary.rows] == [(8, 8, 8), (8, 8, 8), (4, 4, 8), (5,)]


def test_a_leading_batch_axis_changes_nothing():
    assert summarize(Foreign(), (7, 16, 16, 3)) == summarize(Foreign(), (16, 16, 3))


class Loops(nn.Module):
    """A dense layer six times by scan, then behind remat, jit and both arms of a condition."""

    @nn.compact
    def __call__(self, x):
        x = x.reshape(x.shape[0], -1)
        w = self.param("w", nn.initializers.ones, (4, 4))
        x, _ = jax.lax.scan(lambda x, _: (x @ w, None), x, length=6)
        x = jax.checkpoint(lambda x: x @ w)(x)
        x = jax.jit(lambda x: jnp.tanh(x @ w))(x)
        return jax.lax.cond(x.sum() > 0, lambda x: (x @ w) @ w, lambda x: x, x)


def test_loops_count_as_often_as_they_run_and_sub_programs_are_entered():
    summary = summarize(Loops(), (2, 2, 1))
    (row,) = summary.rows
    assert (row.path, row.params) == ("Loops", 16)
    assert summary.macs == 16 * (6 + 1 + 1 + 2)


def test_layers_under_lifted_transformations_keep_their_paths():
    class Lifted(nn.Module):
        @nn.compact
        def __call__(self, x, *, train: bool):
            x = nn.remat(layers.Conv)(2, 3, name="saved")(x)
            return nn.jit(layers.Conv)(3, 1, name="compiled")(x)

    rows = summarize(Lifted(), (5, 5, 1)).rows
    assert [(row.path, row.macs) for row in rows] == [("saved", 25 * 9 * 2), ("compiled", 25 * 6)]


def test_a_shared_layer_has_its_parameters_once_and_its_work_twice():
    class Shared(nn.Module):
        @nn.compact
        def __call__(self, x):
            conv = layers.Conv(1, 3, name="conv")
            return conv(conv(x))

    (row,) = summarize(Shared(), (5, 5, 1)).rows
    assert (row.params, row.macs, row.receptive_field) == (10, 2 * 25 * 9, 5)


def test_rows_add_up_and_heads_that_do_not_run_are_listed():
    summary = summarize(create("googlenet", num_classes=10), (64, 64, 3))
    heads = [row for row in summary.rows if row.path.startswith("aux")]
    assert heads
    assert all(row.output_shape is None and row.macs == 0 and row.params for row in heads)
    assert summary.params - sum(row.params for row in heads) == (
        summarize(create("googlenet", num_classes=10, aux=False), (64, 64, 3)).params
    )


def test_rows_come_in_the_order_of_execution():
    paths = [row.path for row in summarize(create("lenet5", num_classes=10), (32, 32, 1)).rows]
    assert paths == ["conv1", "max_pool_1", "conv3", "max_pool_2", "fc5", "fc6", "head"]


def test_memory_of_activations_follows_the_type_that_a_layer_computes_in():
    wide, narrow = (
        {row.path: row.activation_bytes for row in summarize(module, (32, 32, 1)).rows}
        for module in (
            create("lenet5", num_classes=10),
            create("lenet5", num_classes=10, dtype=jnp.bfloat16),
        )
    )
    assert wide["conv1"] == 28 * 28 * 6 * 4
    assert narrow["conv1"] == 28 * 28 * 6 * 2


def test_json_holds_the_totals_and_every_row():
    summary = summarize(create("lenet5", num_classes=10), (32, 32, 1))
    read = json.loads(summary.to_json())
    assert (read["params"], read["macs"]) == (61_706, 416_520)
    assert read["input_shape"] == [32, 32, 1]
    assert read["rows"][0] == {
        "path": "conv1",
        "kind": "Conv",
        "output_shape": [28, 28, 6],
        "params": 156,
        "macs": 117_600,
        "receptive_field": 5,
        "jump": 1,
        "activation_bytes": 18_816,
    }


def test_the_table_shows_every_layer_and_the_totals():
    summary = summarize(create("inception_v3", num_classes=10, aux=False), (75, 75, 3))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_table(summary))
    text = console.export_text()
    assert all(row.path in text for row in summary.rows)
    assert f"{summary.params:,}" in text
    assert f"{summary.macs:,}" in text


@pytest.mark.parametrize("shape", [(32, 32), (0, 32, 3), (1, 2, 3, 4, 5), (32.0, 32, 1)])
def test_a_shape_that_is_no_images_is_refused(shape):
    with pytest.raises(BadInputError, match="input is H,W,C in pixels and channels"):
        summarize(create("lenet5", num_classes=10), shape)
