"""Mixup and cutmix: images and targets mixed in the same shares, partners from the batch's key."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from cnn_jax.data.augment import mix

N, CLASSES = 64, 8
LABELS = jnp.arange(N) % CLASSES
TARGETS = jax.nn.one_hot(LABELS, CLASSES)
# Each image has one level, its place; that level tells where a pixel came from.
IMAGES = jnp.broadcast_to(jnp.arange(N, dtype=jnp.float32)[:, None, None, None], (N, 10, 12, 1))
KEY = jax.random.key(4)
OWN = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(9), jnp.arange(N))
PARTNERS, SHARES = jax.jit(lambda: (mix.partners(KEY, N), mix._shares(OWN, 1.0, 1.0)))()


def test_partners_are_a_permutation_of_the_batch():
    np.testing.assert_array_equal(np.sort(PARTNERS), np.arange(N))


def test_mixup_averages_images_and_targets_alike():
    mixup = jax.jit(functools.partial(mix.mixup, alpha=1.0))
    images, targets = mixup(KEY, OWN, IMAGES, TARGETS)
    other = np.asarray(PARTNERS)
    share = np.asarray(SHARES)
    expected = share * np.arange(N) + (1 - share) * other
    np.testing.assert_allclose(images[:, 3, 5, 0], expected, rtol=1e-5)
    soft = share[:, None] * TARGETS + (1 - share[:, None]) * TARGETS[other]
    np.testing.assert_allclose(targets, soft, atol=1e-6)
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)


def test_shares_are_beta_and_mixing_happens_at_its_rate():
    own = jax.random.split(jax.random.key(0), 4000)
    share = np.asarray(jax.jit(lambda own: mix._shares(own, 0.4, 0.75))(own))
    mixed = share[share < 1]
    assert abs(len(mixed) / 4000 - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)  # wrong once in 16,000
    assert stats.kstest(mixed, stats.beta(0.4, 0.4).cdf).pvalue > 1e-4


def test_cutmix_pastes_a_rectangle_and_weighs_by_its_area():
    images, targets = jax.jit(mix.cutmix)(KEY, OWN, IMAGES, TARGETS)
    other = np.asarray(PARTNERS)
    share = np.asarray(SHARES)
    for place, image in enumerate(np.asarray(images)[..., 0]):
        pasted = image == other[place]
        if other[place] == place:
            continue
        assert np.all(pasted | (image == place))
        if pasted.any():
            rows, columns = np.flatnonzero(pasted.any(1)), np.flatnonzero(pasted.any(0))
            assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            side = np.sqrt(1 - share[place])
            assert len(rows) <= 10 * side
            assert len(columns) <= 12 * side
        kept = 1 - pasted.mean()
        soft = kept * TARGETS[place] + (1 - kept) * TARGETS[other[place]]
        np.testing.assert_allclose(targets[place], soft, atol=1e-6)
    assert np.mean([(image != place).any() for place, image in enumerate(images)]) > 0.2


def papers_box(size, kept, row, column):
    """Return where Yun et al.'s own code pastes (rand_bbox), bool [H, W]."""
    height, width = size
    cut = np.sqrt(1.0 - kept)
    rows, columns = int(height * cut), int(width * cut)
    inside = np.zeros((height, width), bool)
    top, bottom = np.clip([row - rows // 2, row + rows // 2], 0, height)
    left, right = np.clip([column - columns // 2, column + columns // 2], 0, width)
    inside[top:bottom, left:right] = True
    return inside


@pytest.mark.parametrize("size", [(8, 8), (9, 15)])
def test_cutmix_pastes_the_papers_box(size):
    own = jax.random.split(jax.random.key(7), 2000)
    ones = jnp.arange(len(own), dtype=jnp.float32)[:, None, None, None]
    images = jnp.broadcast_to(ones, (len(own), *size, 1))
    targets = jnp.zeros((len(own), 2))
    mixed, _ = jax.jit(mix.cutmix)(KEY, own, images, targets)
    pasted = np.asarray(mixed != images)[..., 0]
    drawn = jax.jit(lambda own: mix._shares(own, 1.0, 1.0))(own)
    partner = np.asarray(mix.partners(KEY, len(own)))
    rng = np.random.default_rng(0)
    theirs = [
        papers_box(size, kept, *rng.integers(0, size)).mean()
        for kept in np.asarray(drawn, np.float64)
    ]
    ours = pasted.mean((1, 2))[partner != np.arange(len(own))]
    # The same lambdas, places drawn anew: the areas have one distribution.
    same: Any = stats.ks_2samp(ours, theirs)
    assert same.pvalue > 1e-3
    error = np.hypot(ours.std(), np.std(theirs)) / np.sqrt(len(own))
    assert abs(ours.mean() - np.mean(theirs)) < 4 * error
    # And every box is one that the paper's code can make of its lambda.
    for place in range(0, len(own), 40):
        possible = {
            papers_box(size, float(drawn[place]), row, column).tobytes()
            for row in range(size[0])
            for column in range(size[1])
        }
        assert pasted[place].tobytes() in possible or partner[place] == place


@pytest.mark.parametrize("transform", [mix.mixup, mix.cutmix])
def test_a_rate_of_zero_changes_nothing(transform):
    never = jax.jit(functools.partial(transform, alpha=1.0, probability=0.0))
    images, targets = never(KEY, OWN, IMAGES, TARGETS)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(targets, TARGETS)
