"""Looking at networks: what they are made of, what they see, what they have learned.

Any Linen module can be looked at, with its variables and the (H, W, C) of its images:

    from cnn_jax.analysis import Probe, attribution, summarize

    net = Probe(module, variables, (32, 32, 3))
    list(net.layers)                                        # what can be named
    maps = attribution.grad_cam(net, images, classes, "conv2")
    summarize(module, (32, 32, 3)).params

A module is called as ``module(x)`` or, if it takes it, ``module(x, train=...)``; it returns logits.
"""

from cnn_jax.analysis.probe import Probe
from cnn_jax.analysis.summary import Row, Summary, summarize

__all__ = ["Probe", "Row", "Summary", "summarize"]
