"""Stratified cuts."""

import numpy as np
import pytest

from cnn_jax.data.split import balanced, stratified
from cnn_jax.runtime.errors import BadInputError


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("counts", [(10, 10), (7, 1, 30), (100,), (3, 5, 2, 4)])
def test_a_cut_is_exact_and_stratified(share, counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    rest, part = stratified(labels, share, seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, part])), np.arange(len(labels)))
    assert len(part) == round(share * len(labels))
    for label, count in enumerate(counts):
        assert abs(np.sum(labels[part] == label) - share * count) < 1


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.5])
def test_no_class_loses_its_only_example(share):
    for seed, counts in enumerate([(1, 1, 1), (1, 30, 1, 2), (2, 2, 1), (1,)]):
        labels = np.repeat(np.arange(len(counts)), counts)
        rest, part = stratified(labels, share, seed)
        assert set(labels[rest]) == set(labels)
        assert len(part) <= round(share * len(labels))


def test_the_seed_chooses_the_examples_and_nothing_else_does():
    labels = np.repeat([0, 1], 50)
    one, again = stratified(labels, 0.2, 1)[1], stratified(labels, 0.2, 1)[1]
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, stratified(labels, 0.2, 2)[1])


def test_a_balanced_choice_has_so_many_of_each_class_and_grows():
    labels = np.repeat([0, 1, 2], [5, 30, 9])
    few, more = balanced(labels, 2, 7), balanced(labels, 5, 7)
    for chosen, count in ((few, 2), (more, 5)):
        assert np.bincount(labels[chosen]).tolist() == [count] * 3
        assert np.all(np.diff(chosen) > 0)
    assert set(few) < set(more)
    assert not np.array_equal(balanced(labels, 2, 8), few)
    with pytest.raises(BadInputError, match="6 of each class are wanted; class 0 has 5"):
        balanced(labels, 6, 7)
