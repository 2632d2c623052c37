"""Style transfer: the Gram matrix by hand, and that painting moves towards the style."""

import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis.style import gram, transfer
from tests.analysis.networks import Small, noise, probe


def test_the_gram_matrix_by_hand():
    maps = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])  # one row of two positions, two channels
    np.testing.assert_allclose(gram(maps), [[5.0, 7.0], [7.0, 10.0]])
    # Where something is does not matter, how often it is does not either.
    np.testing.assert_allclose(gram(jnp.concatenate([maps, maps[:, ::-1]])), gram(maps))


def test_painting_takes_the_style_and_keeps_the_content():
    net = probe(Small(), (12, 12, 2))
    content, style = noise((12, 12, 2)), 2 * noise((12, 12, 2), 1)
    how = {"content_layer": "conv2", "style_layers": ["conv1", "bn1"], "steps": 60}
    painted, losses = transfer(net, content, style, **how)
    assert losses[0, 0] == 0
    np.testing.assert_allclose(losses[0, 1], 1, rtol=1e-4)
    assert losses[-1, 1] < 0.2
    _, loose = transfer(net, content, style, style_weight=1e4, **how)
    _, tight = transfer(net, content, style, style_weight=1e-3, **how)
    assert tight[-1, 0] < loose[-1, 0]
    assert tight[-1, 1] > loose[-1, 1]
    kept, _ = transfer(net, content, style, limits=(np.full(2, -1.0), np.full(2, 1.0)), **how)
    assert np.abs(kept).max() <= 1
    assert painted.shape == content.shape
