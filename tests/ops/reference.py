"""Convolution in NumPy float64, twice: as loops over windows, and as Wᵀx (im2col).

Neither knows the other, nor jax. Both return (y, gradient of x, gradient of w) for the gradient
``g`` of y.
"""

import numpy as np


def loops(x, w, g, stride, padding, groups, dilation):
    """Visit window by window and tap by tap, as the sum in a textbook reads."""
    x, w, g = (np.asarray(a, np.float64) for a in (x, w, g))
    (top, bottom), (left, right) = padding
    n, h, width, c = x.shape
    kh, kw, per_group, o = w.shape
    padded = np.zeros((n, h + top + bottom, width + left + right, c))
    padded[:, top : top + h, left : left + width] = x
    padded_g, w_g, y = np.zeros_like(padded), np.zeros_like(w), np.zeros(g.shape)
    for p, q, a, b, out in np.ndindex(*g.shape[1:3], kh, kw, o):
        i, j = p * stride[0] + a * dilation[0], q * stride[1] + b * dilation[1]
        first = out // (o // groups) * per_group
        channels = slice(first, first + per_group)
        y[:, p, q, out] += padded[:, i, j, channels] @ w[a, b, :, out]
        padded_g[:, i, j, channels] += g[:, p, q, out, None] * w[a, b, :, out]
        w_g[a, b, :, out] += g[:, p, q, out] @ padded[:, i, j, channels]
    return y, padded_g[:, top : top + h, left : left + width], w_g


def im2col(x, w, g, stride, padding, groups, dilation):
    """Write every window as a row of a matrix; convolution is one product a group."""
    x, w, g = (np.asarray(a, np.float64) for a in (x, w, g))
    kh, kw, per_group, o = w.shape
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    n, rows, columns, _ = g.shape
    at = np.arange(padded.size).reshape(padded.shape)
    i = np.arange(rows)[:, None] * stride[0] + np.arange(kh) * dilation[0]
    j = np.arange(columns)[:, None] * stride[1] + np.arange(kw) * dilation[1]
    # [N, rows, columns, kh, kw, C]: where in the padded images each tap of each window lies
    at = at[:, i[:, None, :, None], j[None, :, None, :]]
    y, padded_g, w_g = np.zeros(g.shape), np.zeros(padded.size), np.zeros_like(w)
    for group in range(groups):
        out = slice(group * (o // groups), (group + 1) * (o // groups))
        inside = at[..., group * per_group : (group + 1) * per_group]
        inside = inside.reshape(n * rows * columns, kh * kw * per_group)
        matrix, weights = padded.ravel()[inside], w[..., out].reshape(inside.shape[1], -1)
        flat = g[..., out].reshape(-1, weights.shape[1])
        y[..., out] = (matrix @ weights).reshape(g[..., out].shape)
        np.add.at(padded_g, inside, flat @ weights.T)
        w_g[..., out] = (matrix.T @ flat).reshape(w[..., out].shape)
    (top, _), (left, _) = padding
    padded_g = padded_g.reshape(padded.shape)
    return y, padded_g[:, top : top + x.shape[1], left : left + x.shape[2]], w_g
