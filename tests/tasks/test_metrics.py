"""Metrics: sums on the device, one division on the host."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.tasks import metrics
from cnn_jax.tasks.losses import cross_entropy


def reference(logits, labels):
    """Loss, accuracy and top-5 in NumPy float64, example by example."""
    logits = np.asarray(logits, np.float64)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    order = np.argsort(-logits, axis=1)
    top1 = order[:, 0] == labels
    top5 = (order[:, :5] == labels[:, None]).any(1)
    return losses.mean(), top1.mean(), top5.mean()


@pytest.mark.parametrize("size", [1, 7, 64])
def test_padded_batches_count_every_example_once(size):
    rng = np.random.default_rng(size)
    logits = rng.normal(size=(100, 12)).astype(np.float32)
    labels = rng.integers(0, 12, 100)
    parts = []
    for start in range(0, 100, size):
        rows = np.arange(start, start + size)
        mask, rows = rows < 100, np.minimum(rows, 99)
        batch, own = jnp.asarray(logits[rows]), jnp.asarray(labels[rows])
        parts.append(metrics.sums(cross_entropy(batch, own), batch, own, jnp.asarray(mask)))
    found = metrics.means(parts, classes=12)
    loss, top1, top5 = reference(logits, labels)
    assert found["examples"] == 100
    assert found["accuracy"] == top1
    assert found["accuracy_top5"] == top5
    assert found["loss"] == pytest.approx(loss, rel=1e-6)


def test_what_is_padded_may_even_be_infinite():
    logits = jnp.array([[0.0, 1.0], [jnp.inf, jnp.nan]])
    labels = jnp.array([1, 0])
    found = metrics.sums(cross_entropy(logits, labels), logits, labels, jnp.array([True, False]))
    assert metrics.means([found], 2)["loss"] == pytest.approx(np.log1p(np.exp(-1)))


def test_top_five_is_left_out_where_it_says_nothing():
    parts = [metrics.sums(jnp.ones(1), jnp.zeros((1, 5)), jnp.zeros(1, int), jnp.ones(1, bool))]
    assert set(metrics.means(parts, 5)) == {"loss", "accuracy", "examples"}


def test_clearing_keeps_devices():
    full = metrics.sums(jnp.ones(4), jnp.zeros((4, 3)), jnp.zeros(4, int), jnp.ones(4, bool))
    empty = full.cleared()
    assert empty.examples == 0
    assert empty.loss.sharding == full.loss.sharding


def test_label_smoothing_mixes_with_the_uniform_target():
    logits = jnp.array([[2.0, -1.0, 0.5]])
    logp = np.asarray(logits - np.log(np.exp(logits).sum()))[0]
    expected = -(0.9 * logp[0] + 0.1 * logp.mean())
    np.testing.assert_allclose(cross_entropy(logits, jnp.array([0]), 0.1), [expected], rtol=1e-6)


def test_ranks_are_those_of_a_stable_sort():
    rng = np.random.default_rng(0)
    logits = rng.integers(-2, 3, (200, 12)).astype(np.float32)  # full of ties
    logits[rng.random(logits.shape) < 0.1] = np.inf
    logits[rng.random(logits.shape) < 0.1] = -np.inf
    labels = rng.integers(0, 12, 200)
    order = np.argsort(-logits, axis=1, kind="stable")  # equal ones stay in the order of classes
    expected = np.argmax(order == labels[:, None], axis=1)
    found = metrics.ranks(jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(metrics.predictions(jnp.asarray(logits)), order[:, 0])


def test_accuracy_is_the_trace_of_the_confusion_matrix():
    rng = np.random.default_rng(1)
    logits = rng.integers(0, 3, (300, 7)).astype(np.float32)
    logits[::5, 3] = np.nan
    labels = rng.integers(0, 7, 300)
    predicted = np.asarray(metrics.predictions(jnp.asarray(logits)))
    matrix = np.zeros((7, 7), int)
    known = predicted >= 0
    np.add.at(matrix, (labels[known], predicted[known]), 1)
    given = jnp.asarray(logits), jnp.asarray(labels)
    found = metrics.means([metrics.sums(jnp.zeros(300), *given, jnp.ones(300, bool))], 7)
    assert found["accuracy"] == np.trace(matrix) / 300
    assert found["accuracy_top5"] >= found["accuracy"]


@pytest.mark.parametrize(
    ("row", "top5"),
    [
        (np.zeros(100), 0.05),  # equal logits: chance, not certainty
        (np.full(100, np.nan), 0.0),
        (np.r_[np.nan, np.zeros(99)], 0.0),
        (np.r_[np.ones(3), np.zeros(97)], 0.05),
    ],
)
def test_a_network_that_tells_nothing_is_not_right(row, top5):
    labels = np.arange(1000) % 100
    logits = jnp.asarray(np.tile(row, (1000, 1)), jnp.float32)
    measured = metrics.sums(jnp.zeros(1000), logits, jnp.asarray(labels), jnp.ones(1000, bool))
    assert metrics.means([measured], 100)["accuracy_top5"] == top5


@pytest.mark.parametrize("label", [-1, 6])
def test_a_label_that_is_no_class_is_never_a_hit(label):
    assert metrics.ranks(jnp.zeros((1, 6)), jnp.array([label])) == 6
