"""Measures against scikit-learn: scores with ties, padding, uneven batches, NaN rows."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as reference

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import Classification, Multilabel
from cnn_jax.tasks.measures import BINS
from cnn_jax.tasks.multilabel import average_precision

CLASSES, EXAMPLES = 7, 103


def scored(seed=0):
    """Return logits with many ties, and labels."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(-3, 4, (EXAMPLES, CLASSES)).astype(np.float32)
    return logits, rng.integers(0, CLASSES, EXAMPLES).astype(np.int32)


def measured(task: Any, logits, labels, sizes=(40, 40, 23), padding=17):
    """Return a task's metrics of batches of several sizes, the last one padded."""
    parts, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        more = padding if start + size == len(labels) else 0
        held = np.pad(labels[rows], [(0, more)] + [(0, 0)] * (labels.ndim - 1))
        batch = {"label": jnp.asarray(held), "mask": jnp.arange(size + more) < size}
        outputs = np.pad(logits[rows], ((0, more), (0, 0)), constant_values=9.0)
        evaluate = jax.jit(lambda outputs, batch: task.metrics(outputs, batch, train=False))
        parts.append(evaluate(jnp.asarray(outputs), batch))
        start += size
    return task.means(parts)


def test_they_are_those_of_scikit_learn_whatever_the_batches():
    logits, labels = scored()
    task = Classification(CLASSES, measures=("accuracy_top3",)).in_full()
    found = measured(task, logits, labels)
    said = logits.argmax(1)  # the lower index of equal ones
    probabilities = np.asarray(jax.nn.softmax(logits.astype(np.float64)))
    assert found["accuracy"] == reference.accuracy_score(labels, said)
    assert found["confusion"] == reference.confusion_matrix(labels, said).tolist()
    recalls = reference.recall_score(labels, said, average=None)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found["per_class_accuracy"], recalls, rtol=1e-12)
    loss = reference.log_loss(labels, probabilities, labels=range(CLASSES))
    assert found["log_loss"] == pytest.approx(loss, rel=1e-6)
    # scikit-learn breaks ties the other way: scores fall by a hair with the index.
    apart = logits - 1e-3 * np.arange(CLASSES)
    top = reference.top_k_accuracy_score(labels, apart, k=3, labels=range(CLASSES))
    assert found["accuracy_top3"] == top
    for sizes in [(103,), (1, 102), (50, 53)]:
        other = measured(task, logits, labels, sizes)
        for name in ("accuracy", "accuracy_top3", "confusion", "per_class_accuracy"):
            assert other[name] == found[name]
        assert other["calibration_error"] == pytest.approx(found["calibration_error"], rel=1e-5)


def test_the_calibration_error_is_that_of_a_loop():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (EXAMPLES, CLASSES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, EXAMPLES).astype(np.int32)
    found = measured(Classification(CLASSES, measures=("calibration_error",)), logits, labels)
    probabilities = np.asarray(jax.nn.softmax(logits))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    error = 0.0
    for low in np.arange(BINS) / BINS:
        inside = (confidence > low) & (confidence <= low + 1 / BINS)
        if inside.any():
            gap = right[inside].mean() - confidence[inside].mean()
            error += inside.mean() * abs(gap)
    assert found["calibration_error"] == pytest.approx(error, rel=1e-5)


def test_a_row_with_a_nan_is_a_miss_and_leaves_no_calibration():
    logits, labels = scored()
    logits[5, 2] = np.nan
    task = Classification(CLASSES, measures=("accuracy_top7",)).in_full()
    found, clean = measured(task, logits, labels), measured(task, scored()[0], labels)
    assert found["accuracy_top7"] == 102 / 103
    assert np.sum(found["confusion"]) == 102
    assert np.isnan(found["log_loss"])
    assert np.isnan(found["calibration_error"])
    assert clean["accuracy_top7"] == 1


def test_a_class_without_examples_has_no_accuracy():
    task = Classification(3, measures=("per_class_accuracy",))
    logits, labels = np.eye(3, dtype=np.float32)[[0, 1, 1]], np.array([0, 1, 0], np.int32)
    found = measured(task, logits, labels, sizes=(3,))
    assert found["per_class_accuracy"] == [0.5, 1.0, None]


def test_a_function_is_a_metric_and_one_of_another_shape_is_refused():
    def largest(outputs, batch):
        return outputs.max(axis=1)

    logits, labels = scored()
    found = measured(Classification(CLASSES, measures=(largest,)), logits, labels)
    assert found["largest"] == pytest.approx(logits.max(1).mean(), rel=1e-6)
    task = Classification(CLASSES, measures=(lambda outputs, batch: outputs,))
    with pytest.raises(BadInputError, match=r"gives \[40, 7\] for 40 examples"):
        measured(task, logits, labels)


@pytest.mark.parametrize("name", ["accuracy_top0", "calibration"])
def test_an_unknown_metric_is_named(name):
    for task in (Classification, Multilabel):
        with pytest.raises(BadInputError, match=f"unknown metric '{name}'; did you mean"):
            task(CLASSES, measures=(name,))


def test_average_precision_is_that_of_scikit_learn_with_ties():
    rng = np.random.default_rng(2)
    scores, true = rng.integers(0, 6, 200) / 5, rng.random(200) < 0.3
    expected = reference.average_precision_score(true, scores)
    assert average_precision(scores, true) == pytest.approx(expected, rel=1e-12)
    assert average_precision(scores, np.zeros(200, bool)) is None
    scores[3] = np.nan
    assert np.isnan(average_precision(scores, true) or 0)


def test_several_labels_are_measured_as_scikit_learn_does():
    rng = np.random.default_rng(3)
    logits = rng.integers(-3, 4, (EXAMPLES, 4)).astype(np.float32)
    labels = (rng.random((EXAMPLES, 4)) < 0.4).astype(np.int32)
    task = Multilabel(4)
    found = measured(task, logits, labels)
    said = np.asarray(task.predictions(jnp.asarray(logits)))
    scores = np.asarray(task.scores(jnp.asarray(logits)))
    assert found["accuracy"] == reference.accuracy_score(labels, said)
    hamming = reference.hamming_loss(labels, said)
    assert found["label_accuracy"] == pytest.approx(1 - hamming, rel=1e-12)
    losses = [reference.log_loss(labels[:, i], scores[:, i].astype(float)) for i in range(4)]
    assert found["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    precision = task.of_scores(scores, labels)["average_precision"]
    expected = reference.average_precision_score(labels, scores, average="macro")
    assert precision == pytest.approx(expected, rel=1e-6)


def test_one_output_tells_two_classes_apart():
    task = Multilabel(2, single=True)
    logits, labels = np.array([[2.0], [-1.0], [0.5], [np.nan]]), np.array([1, 1, 0, 1], np.int32)
    found = measured(task, logits.astype(np.float32), labels, sizes=(4,))
    assert task.outputs == 1
    assert (found["accuracy"], found["label_accuracy"]) == (0.25, 0.25)
    assert np.isnan(found["loss"])
    assert task.predictions(jnp.asarray(logits)).tolist() == [1, 0, 1, -1]
    assert task.scores(jnp.asarray(logits)).shape == (4, 2)
    losses = task.loss(jnp.asarray(logits[:3]), {"label": jnp.asarray(labels[:3])})
    np.testing.assert_allclose(losses, np.log1p(np.exp([-2.0, 1.0, 0.5])), rtol=1e-5)
    with pytest.raises(BadInputError, match=r"one output tells two classes apart; the data have 3"):
        Multilabel(3, single=True)


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.array([0, 4]), Multilabel(4)),
        (np.full((2, 4), 2), Multilabel(4)),
        (np.zeros((2, 3)), Multilabel(4)),
        (np.zeros((2, 2)), Multilabel(2, single=True)),
    ],
)
def test_labels_that_are_none_are_refused(labels, task):
    with pytest.raises(BadInputError, match="the train part has labels"):
        task.check_labels(labels, "the train part")
