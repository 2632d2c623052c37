"""Similarity: vectors of layers, exact neighbours, precision."""

import numpy as np
import pytest

from cnn_jax.analysis.embedding import embed, nearest, normalised, precision, without_self
from tests.analysis.networks import Small, noise, probe, read


def test_vectors_are_averages_of_maps_of_length_one():
    net, x = probe(Small(), (8, 8, 2)), noise((5, 8, 8, 2))
    found = embed(net, "conv2", [x[:3], x[3:]])
    maps = read(net, x, "conv2").mean(axis=(1, 2))
    expected = maps / np.linalg.norm(maps, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert embed(net, "head", [x]).shape == (5, 3)


def test_neighbours_are_those_of_sorting_everything():
    rng = np.random.default_rng(0)
    vectors = normalised(rng.normal(size=(50, 7)).astype(np.float32))
    queries = normalised(rng.normal(size=(9, 7)).astype(np.float32))
    similarities, places = nearest(vectors, queries, 4)
    products = queries @ vectors.T
    order = np.argsort(-products, axis=1)[:, :4]
    np.testing.assert_array_equal(places, order)
    expected = np.take_along_axis(products, order, 1)
    np.testing.assert_allclose(similarities, expected, rtol=1e-4)
    assert not np.any(normalised(np.zeros((2, 3))))


def test_precision_counts_neighbours_of_the_same_label():
    labels = np.array([0, 0, 1, 1])
    neighbours = np.array([[0, 1, 2], [2, 3, 0], [3, 2, 1], [3, 2, 1]])
    kept = without_self([0, 1, 2, 3], neighbours, 2)
    np.testing.assert_array_equal(kept, [[1, 2], [2, 3], [3, 1], [2, 1]])
    assert precision(labels, labels, kept) == pytest.approx((0.5 + 0 + 0.5 + 0.5) / 4)
