"""Stratified cuts."""

import numpy as np
import pytest

from cnn_jax.data.split import stratified


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("counts", [(10, 10), (7, 1, 30), (100,), (3, 5, 2, 4)])
def test_a_cut_is_exact_and_stratified(share, counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    rest, part = stratified(labels, share, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, part])), np.arange(len(labels)))
    assert len(part) == round(share * len(labels))
    for label, count in enumerate(counts):
        assert abs(np.sum(labels[part] == label) - share * count) < 1


def test_the_seed_chooses_the_examples_and_nothing_else_does():
    labels = np.repeat([0, 1], 50)
    one, again = stratified(labels, 0.2, 1)[1], stratified(labels, 0.2, 1)[1]
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, stratified(labels, 0.2, 2)[1])
