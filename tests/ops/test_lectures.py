"""The worked examples of five lectures on convolutional networks, entry by entry.

Each test names the documents (000 to 004) that print its example. Where a document errs, the test
asserts the corrected values and says what is printed.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.ops import (
    FILTERS,
    avg_pool,
    conv2d,
    conv_weights,
    convolve2d,
    max_pool,
    output_size,
    same_padding,
)

IMAGE = [
    [3, 0, 1, 2, 7, 4],
    [1, 5, 8, 9, 3, 1],
    [2, 7, 2, 5, 1, 3],
    [0, 1, 3, 1, 7, 8],
    [4, 2, 1, 6, 2, 8],
    [2, 4, 5, 2, 3, 9],
]
BINARY = [
    [1, 1, 1, 0, 0],
    [0, 1, 1, 1, 0],
    [0, 0, 1, 1, 1],
    [0, 0, 1, 1, 0],
    [0, 1, 1, 0, 0],
]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
X_IMAGE = 2 * np.maximum(np.eye(9), np.eye(9)[::-1]) - 1
X_IMAGE[[0, -1]] = X_IMAGE[:, [0, -1]] = -1


def correlate(image, kernel, operator=conv2d, **arguments):
    """Apply an operator to one image of one channel with one filter."""
    x = jnp.asarray(image, jnp.float32)[None, :, :, None]
    w = jnp.asarray(kernel, jnp.float32)[:, :, None, None]
    return np.asarray(operator(x, w, **arguments))[0, :, :, 0]


def pool(operator, image, *arguments, **named):
    x = jnp.asarray(image, jnp.float32)[None, :, :, None]
    return np.asarray(operator(x, *arguments, **named))[0, :, :, 0]


def test_vertical_filter_over_6x6():
    """000, 002."""
    expected = [[-5, -4, 0, 8], [-10, -2, 2, 3], [0, -2, -4, -7], [-3, -2, -3, -16]]
    np.testing.assert_array_equal(correlate(IMAGE, FILTERS["vertical"]), expected)


def test_vertical_filter_at_stride_3():
    """002."""
    np.testing.assert_array_equal(
        correlate(IMAGE, FILTERS["vertical"], stride=3), [[-5, 8], [-3, -16]]
    )


def test_cross_over_binary_image():
    """002, 003."""
    expected = [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    np.testing.assert_array_equal(correlate(BINARY, CROSS), expected)


def test_cross_over_padded_binary_image():
    """002 keeps 5x5 by padding, with one pixel more in the fourth row than before.

    Two of its printed entries are one too small: 4 in the centre, 2 below and left of it.
    """
    image = [*BINARY[:3], [0, 1, 1, 1, 0], BINARY[4]]
    expected = [
        [2, 2, 3, 1, 1],
        [1, 4, 3, 4, 1],
        [2, 2, 5, 3, 3],
        [1, 3, 3, 4, 1],
        [1, 2, 3, 1, 1],
    ]
    np.testing.assert_array_equal(correlate(image, CROSS, padding="same"), expected)


def test_vertical_edge():
    """000, 002."""
    image = [[10, 10, 10, 0, 0, 0]] * 6
    np.testing.assert_array_equal(correlate(image, FILTERS["vertical"]), [[0, 30, 30, 0]] * 4)


def test_vertical_edge_with_a_step():
    """000 prints 0 30 30 0 in every row; with the input it prints, the edge moves."""
    image = [[10, 10, 10, 0, 0, 0]] * 3 + [[10, 10, 10, 10, 0, 0]] * 3
    expected = [[0, 30, 30, 0], [0, 20, 30, 10], [0, 10, 30, 20], [0, 0, 30, 30]]
    np.testing.assert_array_equal(correlate(image, FILTERS["vertical"]), expected)


def test_horizontal_edge():
    """000: 8x6, a band of 735."""
    image = [[255] * 6] * 4 + [[10] * 6] * 4
    expected = [[0] * 4] * 2 + [[735] * 4] * 2 + [[0] * 4] * 2
    np.testing.assert_array_equal(correlate(image, FILTERS["horizontal"]), expected)


def test_shift_picks_the_pixel_above():
    """000: 42."""
    image = [
        [35, 40, 41, 45, 50],
        [40, 40, 42, 46, 52],
        [42, 46, 50, 55, 55],
        [48, 52, 56, 58, 60],
        [56, 60, 65, 70, 75],
    ]
    assert correlate(image, FILTERS["shift"])[1, 1] == 42


def test_box_blur():
    """000: the input is printed as 11x12; this 10x10 input gives the 8x8 result it prints."""
    image = np.zeros((10, 10))
    image[2:7, 3:8] = 90
    image[5, 4] = 0
    image[8, 2] = 90
    expected = [
        [0, 10, 20, 30, 30, 30, 20, 10],
        [0, 20, 40, 60, 60, 60, 40, 20],
        [0, 30, 60, 90, 90, 90, 60, 30],
        [0, 30, 50, 80, 80, 90, 60, 30],
        [0, 30, 50, 80, 80, 90, 60, 30],
        [0, 20, 30, 50, 50, 60, 40, 20],
        [10, 20, 30, 30, 30, 30, 20, 10],
        [10, 10, 10, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(correlate(image, FILTERS["box"]), expected, atol=1e-4)


def test_diagonal_of_the_x():
    """003: seven where a stroke fits but for its end, nine where it fits."""
    y = correlate(X_IMAGE, FILTERS["diagonal"])
    expected = [
        [7, -1, 1, 3, 5, -1, 3],
        [-1, 9, -1, 3, -1, 1, -1],
        [1, -1, 9, -3, 1, -1, 5],
        [3, 3, -3, 5, -3, 3, 3],
        [5, -1, 1, -3, 9, -1, 1],
        [-1, 1, -1, 3, -1, 9, -1],
        [3, -1, 5, 3, 1, -1, 7],
    ]
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.diag(y), [7, 9, 9, 5, 9, 9, 7])
    # The other diagonal sees the mirrored image.
    np.testing.assert_array_equal(correlate(X_IMAGE, FILTERS["antidiagonal"]), y[:, ::-1])


def test_x_exercise():
    """003 leaves the X-shaped filter to the reader: it fits at the centre alone."""
    y = correlate(X_IMAGE, FILTERS["x"])
    expected = [
        [3, -5, 1, -1, 1, -5, 3],
        [-5, 5, -5, 3, -5, 5, -5],
        [1, -5, 5, -7, 5, -5, 1],
        [-1, 3, -7, 9, -7, 3, -1],
        [1, -5, 5, -7, 5, -5, 1],
        [-5, 5, -5, 3, -5, 5, -5],
        [3, -5, 1, -1, 1, -5, 3],
    ]
    np.testing.assert_array_equal(y, expected)
    assert y[3, 3] == y.max() == 9


def test_4x4_filter_moved_by_2():
    """003: each of its sixteen weights meets a 4x4 window, every second pixel."""
    kernel = [[1, -1, -1, 1], [-1, 1, 1, -1], [-1, 1, 1, -1], [1, -1, -1, 1]]
    image = np.arange(36.0).reshape(6, 6) % 5
    y = correlate(image, kernel, stride=2)
    windows = [[np.sum(kernel * image[i : i + 4, j : j + 4]) for j in (0, 2)] for i in (0, 2)]
    np.testing.assert_array_equal(y, windows)


def test_symbolic_window():
    """001: one window is the sum of nine products (nine weights: the printed names skip w6)."""
    weights = 10.0 ** np.arange(9).reshape(3, 3)[::-1, ::-1]
    window = [[1, 3, 2], [6, 6, 4], [5, 7, 6]]
    assert correlate(window, np.float64(weights))[0, 0] == pytest.approx(132664576, rel=1e-6)


def test_pooling_of_4x4():
    """002."""
    image = [[1, 4, 6, 3], [1, 8, 9, 7], [2, 9, 1, 2], [3, 4, 4, 3]]
    np.testing.assert_array_equal(pool(max_pool, image, 2, stride=2), [[8, 9], [9, 4]])
    np.testing.assert_array_equal(pool(avg_pool, image, 2, stride=2), [[3.5, 6.25], [4.5, 2.5]])


def test_flipped_convolution():
    """004 defines Y[i, j] as the sum of X[k, l] K[i - k, j - l]: the kernel is flipped."""
    kernel = np.arange(9.0).reshape(3, 3)
    full = np.zeros((8, 8))
    for i, j, u, q in np.ndindex(6, 6, 3, 3):
        full[i + u, j + q] += IMAGE[i][j] * kernel[u, q]
    np.testing.assert_array_equal(correlate(IMAGE, kernel, convolve2d, padding=2), full)
    np.testing.assert_array_equal(
        correlate(IMAGE, kernel, convolve2d), correlate(IMAGE, kernel[::-1, ::-1])
    )


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (("vertical", "sobel", "scharr", "laplacian", "edge_right"), 0),
        (("box", "sharpen", "emboss", "identity", "shift"), 1),
    ],
)
def test_filters_on_a_flat_image(names, answer):
    """000, 002, 004: edge filters are silent on a flat image, the others keep its brightness."""
    for name in names:
        y = correlate(np.ones((5, 5)), FILTERS[name])
        np.testing.assert_allclose(y, np.full((3, 3), answer), atol=1e-6)


@pytest.mark.parametrize("name", ["vertical", "sobel", "scharr"])
def test_edge_filters_weigh_rows(name):
    """002: a step of one is answered with the sum of the left column: 3, 4 and 16."""
    image = [[1, 1, 1, 0, 0, 0]] * 5
    y = correlate(image, FILTERS[name])
    assert y.max() == {"vertical": 3, "sobel": 4, "scharr": 16}[name]


def test_named_filters_are_as_printed():
    """000 (emboss, one-sided edge), 002 (7x7 curve), 004 (all-edge)."""
    np.testing.assert_array_equal(FILTERS["emboss"], [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    np.testing.assert_array_equal(FILTERS["edge_right"], [[0, 0, 0], [-1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(FILTERS["laplacian"], [[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    rows, columns = np.nonzero(FILTERS["curve"])
    np.testing.assert_array_equal(rows, [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(columns, [5, 4, 3, 3, 3, 3])
    assert set(FILTERS["curve"].flat) == {0, 30}


def test_convolution_as_a_matrix_product():
    """002: convolution is Wᵀx for the vector x of a window's pixels."""
    image, w = np.array(IMAGE), FILTERS["sobel"].ravel()
    windows = [[image[i : i + 3, j : j + 3].ravel() @ w for j in range(4)] for i in range(4)]
    np.testing.assert_array_equal(correlate(image, FILTERS["sobel"]), windows)


@pytest.mark.parametrize(
    ("n", "f", "stride", "padding", "expected"),
    [
        (6, 3, 1, 0, 4),  # 000, 002
        (6, 3, 1, 1, 6),  # 000, 002: 'same'
        (6, 3, 3, 0, 2),  # 002
        (5, 3, 1, 1, 5),  # 002
        (10, 3, 1, 0, 8),  # 001
        (640, 3, 1, 1, 640),  # 001
        (640, 2, 2, 0, 320),  # 001, pooling
        (32, 5, 1, 0, 28),  # 001
        (7, 3, 1, 0, 5),  # 004
        (7, 3, 2, 0, 3),  # 004
        (7, 3, 3, 0, 2),  # 003 and 004 leave the floor out, which would make it 2 1/3
    ],
)
def test_output_size(n, f, stride, padding, expected):
    assert output_size(n, f, stride=stride, padding=padding) == expected
    x, w = jnp.zeros((1, n, n, 1)), jnp.zeros((f, f, 1, 1))
    assert conv2d(x, w, stride=stride, padding=padding).shape == (1, expected, expected, 1)


def test_same_padding_is_half_the_field():
    """000."""
    assert [same_padding(f) for f in (1, 3, 5, 7)] == [0, 1, 2, 3]


def test_weights_of_a_layer():
    """003: FM (F F FMP + 1). 004 counts a bias a channel: 468 and 1560 as printed."""
    assert conv_weights(6, 5, 3) == 456
    assert conv_weights(10, 5, 6) == 1510


def test_channels_are_summed():
    """000, 002: 6x6x3 with two filters is 4x4x2, each the sum of three convolutions."""
    x = np.arange(108.0).reshape(1, 6, 6, 3) % 7
    w = np.arange(54.0).reshape(3, 3, 3, 2) % 5
    y = conv2d(jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32))
    assert y.shape == (1, 4, 4, 2)
    for o in range(2):
        total = sum(correlate(x[0, :, :, c], w[:, :, c, o]) for c in range(3))
        np.testing.assert_array_equal(y[0, :, :, o], total)
