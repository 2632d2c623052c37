"""Arguments of operators and fields of layers: they work, or one line says what is wrong."""

# Wrong types are what is tried.
# pyright: reportArgumentType=false

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.nn import blocks, layers
from cnn_jax.ops.adaptive import adaptive_avg_pool
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks.losses import cross_entropy

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 8, 9, 4)), jnp.float32)
W = jnp.asarray(np.random.default_rng(1).standard_normal((3, 3, 2, 6)), jnp.float32)
SCALE = jnp.ones(4)


def line(call, *words: str) -> None:
    """Check that ``call`` raises ``BadInputError`` with one line that has the words."""
    with pytest.raises(BadInputError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 300
    for word in words:
        assert word in message, message


INTEGERS = [np.int64, np.int8, np.uint16, np.array, jnp.asarray]


@pytest.mark.parametrize("kind", INTEGERS, ids=lambda kind: kind.__name__)
def test_integers_of_every_type_are_sizes(kind):
    """NumPy's, and arrays ``[]`` of NumPy and jax, alone and in pairs, lists and arrays."""
    two, one = kind(2), kind(1)
    conv = ops.conv2d(X, W, stride=2, padding=1, groups=2, dilation=1)
    np.testing.assert_array_equal(
        ops.conv2d(X, W, stride=two, padding=one, groups=two, dilation=one), conv
    )
    sides = [(one, one), [one, 1]]
    np.testing.assert_array_equal(
        ops.conv2d(X, W, stride=[two, 2], padding=sides, groups=two, dilation=(1, one)), conv
    )
    for pool in (ops.max_pool, ops.avg_pool):
        expected = pool(X, 2, stride=(2, 1), padding=1)
        np.testing.assert_array_equal(pool(X, two, stride=(two, one), padding=one), expected)
        np.testing.assert_array_equal(pool(X, np.array([2, 2]), stride=(2, 1), padding=1), expected)
    np.testing.assert_array_equal(adaptive_avg_pool(X, two), adaptive_avg_pool(X, 2))
    np.testing.assert_array_equal(
        ops.local_response_norm(X, two), ops.local_response_norm(X, size=2)
    )
    assert ops.output_size(kind(9), kind(3), stride=two, padding=one) == 5
    assert ops.same_padding(kind(5)) == 2
    assert ops.conv_weights(kind(16), one, kind(6)) == 112


def test_images_of_numpy_and_bools_are_taken():
    x = np.asarray(X)
    np.testing.assert_array_equal(ops.max_pool(x, 2), ops.max_pool(X, 2))
    np.testing.assert_array_equal(
        ops.conv2d(x, np.asarray(W), groups=2), ops.conv2d(X, W, groups=2)
    )
    any_of_four = ops.max_pool(X > 1, 2)
    assert any_of_four.dtype == bool
    np.testing.assert_array_equal(any_of_four, ops.max_pool(X, 2) > 1)


BAD_SIZES: list[Any] = [
    0,
    -1,
    1.5,
    2.0,
    None,
    "2",
    True,
    np.float32(2),
    (2,),
    (2, 2, 2),
    (2, 1.5),
    {},
]


@pytest.mark.parametrize("size", BAD_SIZES, ids=repr)
def test_what_is_no_size_is_named(size):
    for pool in (ops.max_pool, ops.avg_pool):
        line(partial(pool, X, size), "window")
        if size is not None:  # of a pool, the window's
            line(partial(pool, X, 2, stride=size), "stride")
    line(lambda: ops.conv2d(X, W, groups=2, stride=size), "stride")
    line(lambda: ops.conv2d(X, W, groups=2, dilation=size), "dilation")
    line(lambda: ops.conv2d(X, W, groups=size), "groups")
    line(lambda: ops.local_response_norm(X, size), "size")
    line(lambda: adaptive_avg_pool(X, size), "size")
    line(lambda: ops.same_padding(size), "f=")
    line(lambda: ops.conv_weights(size, 1, 1), "filters")
    line(lambda: ops.conv_weights(1, size, 1), "field")
    line(lambda: ops.conv_weights(1, 1, size), "channels")
    line(lambda: ops.output_size(5, size), "f=")
    line(lambda: ops.output_size(5, 1, stride=size), "stride")
    if size != 0 or isinstance(size, bool):
        line(lambda: ops.output_size(size, 1), "n=")
        line(lambda: ops.output_size(5, 1, padding=size), "padding")


@pytest.mark.parametrize("padding", [-1, 0.5, None, True, "SAME", "", (1,), ((1, 2), (1, -1)), {1}])
def test_what_is_no_padding_is_named(padding):
    for call in (ops.max_pool, ops.avg_pool):
        line(partial(call, X, 3, padding=padding), "padding")
    line(lambda: ops.conv2d(X, W, groups=2, padding=padding), "padding")


def test_a_traced_size_is_named():
    for call in (
        lambda n: ops.max_pool(X, n),
        lambda n: ops.conv2d(X, W, groups=n),
        lambda n: ops.avg_pool(X, 2, padding=n),
    ):
        line(partial(jax.jit(call), 2), "traced")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ops.max_pool([[1, 2]], 2), ["max_pool", "list"]),
        (lambda: ops.conv2d(None, W), ["conv2d", "NoneType"]),
        (lambda: ops.conv2d(X, [1]), ["conv2d", "list"]),
        (lambda: ops.conv2d(np.array([["a"]]), W), ["conv2d", "<U1"]),
        (lambda: ops.convolve2d(X, jnp.ones(3)), ["convolve2d", "(3,)"]),
        (lambda: ops.depthwise_conv2d(jnp.ones(()), W), ["depthwise_conv2d", "()"]),
        (lambda: ops.global_avg_pool(X[0]), ["global_avg_pool", "(8, 9, 4)"]),
        (lambda: adaptive_avg_pool(X[0], 2), ["adaptive_avg_pool", "(8, 9, 4)"]),
        (lambda: ops.local_response_norm(jnp.ones(())), ["local_response_norm", "()"]),
        (lambda: ops.local_response_norm(X, k=-1), ["k", "-1"]),
        (lambda: ops.local_response_norm(X, alpha=np.nan), ["alpha", "nan"]),
        (lambda: ops.local_response_norm(X, beta="1"), ["beta", "'1'"]),
        (lambda: ops.batch_norm(X, SCALE, SCALE, epsilon=-1e-5), ["epsilon", "-1e-05"]),
        (lambda: ops.batch_norm(X, SCALE, SCALE, epsilon=np.inf), ["epsilon", "inf"]),
        (lambda: ops.batch_norm(X, SCALE[:3], SCALE), ["(3,)", "(4,)"]),
        (lambda: ops.batch_norm(SCALE, SCALE, SCALE), ["batch_norm", "(4,)"]),
        (lambda: ops.batch_norm(X, SCALE, SCALE, stat_batch=0), ["stat_batch", "0"]),
        (lambda: ops.batch_norm(X, SCALE, SCALE, stat_batch=1.0), ["stat_batch", "1.0"]),
        (lambda: ops.batch_norm(X[:0], SCALE, SCALE), ["(0, 8, 9, 4)"]),
        (lambda: ops.batch_norm(X[:, :0], SCALE, SCALE), ["(2, 0, 9, 4)"]),
        (lambda: ops.add_relu(X, 1), ["add_relu", "int"]),
        (lambda: ops.add_relu(X > 0, X > 0), ["add_relu", "bool"]),
        (lambda: ops.conv2d(X, W[:, :, :, :0], groups=2), ["(3, 3, 2, 0)"]),
        (lambda: ops.conv2d(X[..., :0], W[:, :, :0]), ["(3, 3, 0, 6)"]),
        (lambda: ops.conv2d(X, W[:0], groups=2), ["(0, 3, 2, 6)"]),
    ],
)
def test_what_an_operator_cannot_take_is_named(call, words):
    line(call, *words)


def test_images_without_pixels_are_named_and_batches_without_images_work():
    for shape in ((2, 0, 9, 4), (2, 8, 0, 4)):
        x = jnp.ones(shape)
        for call in (
            lambda x: ops.conv2d(x, W, stride=2, padding=1, groups=2),
            lambda x: ops.max_pool(x, 2, padding=1),
            lambda x: ops.avg_pool(x, 2, padding=1, ceil_mode=True),
            lambda x: adaptive_avg_pool(x, 2),
            ops.global_avg_pool,
            lambda x: layers.Downsample("stride").apply({}, x),
        ):
            line(partial(call, x), str(shape))
    for shape in ((0, 8, 9, 4), (2, 8, 9, 0)):
        x = jnp.ones(shape)
        for call in (
            lambda x: ops.max_pool(x, 2, stride=3),
            lambda x: ops.avg_pool(x, 2, stride=3, padding=1),
            lambda x: adaptive_avg_pool(x, 3),
            lambda x: ops.add_relu(x, x),
            ops.local_response_norm,
        ):
            y, back = jax.vjp(call, x)
            assert y.size == 0
            assert back(y)[0].shape == shape
    y, back = jax.vjp(lambda x, w: ops.conv2d(x, w, stride=3, groups=2), X[:0], W)
    assert y.shape == (0, 2, 3, 6)
    np.testing.assert_array_equal(back(y)[1], np.zeros(W.shape))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("window", [1, 2, 3, 4, (1, 3), (4, 2)])
def test_paddings_are_taken_as_in_pytorch(window, ceil_mode):
    """Above half of the window none: a window that sees padding alone has no maximum, no mean."""
    torch = pytest.importorskip("torch")
    theirs = torch.tensor(np.asarray(X)).permute(0, 3, 1, 2)
    pools = [
        (ops.max_pool, torch.nn.functional.max_pool2d),
        (ops.avg_pool, torch.nn.functional.avg_pool2d),
        (
            partial(ops.avg_pool, count_include_pad=False),
            partial(torch.nn.functional.avg_pool2d, count_include_pad=False),
        ),
    ]
    refused = 0
    for padding in (0, 1, 2, 3, (0, 1), (1, 2)):
        how = {"stride": 2, "padding": padding, "ceil_mode": ceil_mode}
        for ours, reference in pools:
            try:
                expected = reference(theirs, window, **how)
            except RuntimeError:  # "pad should be at most half of effective kernel size"
                line(partial(ours, X, window, **how), "padding", "half")
                refused += 1
                continue
            found = np.asarray(ours(X, window, **how))
            assert np.isfinite(found).all()
            np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
    assert refused


def test_each_side_is_padded_by_half_a_window_at_most():
    """Also where the two sides differ, which PyTorch's pools do not know."""
    assert ops.max_pool(X, 2, stride=1, padding=((0, 1), (1, 0))).shape == (2, 8, 9, 4)
    line(lambda: ops.max_pool(X, 2, padding=((0, 2), (0, 0))), "(0, 2)", "half")
    line(lambda: ops.avg_pool(X, (3, 1), padding=((1, 1), (1, 0))), "(1, 0)", "half")


def test_drawn_arguments_are_taken_or_refused_as_by_pytorch():
    """A size is 0 now and then: where PyTorch raises we do, with one line; else we agree."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(17)

    def sizes(low, high):
        zero = rng.random(2) < 0.05
        return tuple(int(n) for n in np.where(zero, 0, rng.integers(low, high, 2)))

    counts = {"same": 0, "refused": 0}
    for _ in range(100):
        shape = (int(rng.integers(0, 3)), *sizes(3, 8), 4)
        x = rng.integers(-4, 5, shape).astype(np.float32)
        window, stride, padding = sizes(1, 5), sizes(1, 4), sizes(0, 3)
        how: dict[str, Any] = {"stride": stride, "padding": padding}
        images = torch.tensor(x).permute(0, 3, 1, 2)
        kind = rng.choice(["max_pool", "avg_pool", "conv2d"])
        if kind == "conv2d":
            how |= {"groups": int(rng.choice([0, 1, 2, 2, 2, 3])), "dilation": sizes(1, 3)}
            w = rng.integers(-2, 3, (*window, 2, 6)).astype(np.float32)
            theirs = partial(functional.conv2d, images, torch.tensor(w).permute(3, 2, 0, 1), **how)
            ours = partial(ops.conv2d, x, w, **how)
        else:
            how["ceil_mode"] = bool(rng.integers(2))
            theirs = partial(getattr(functional, f"{kind}2d"), images, window, **how)
            ours = partial(getattr(ops, kind), x, window, **how)
        try:
            expected = theirs().permute(0, 2, 3, 1)
        except (RuntimeError, ValueError, IndexError):
            line(ours)
            counts["refused"] += 1
        else:
            with ops.stock():  # arguments are at stake: the quickest to compile
                np.testing.assert_allclose(ours(), expected, rtol=1e-5, atol=1e-6)
            counts["same"] += 1
    assert min(counts.values()) > 25, counts


CLASSES = jnp.zeros((3, 10))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bad", [-1, 10, 255])
def test_labels_outside_the_classes_never_look_like_a_loss(bad, smoothing):
    """Refused where they are known; NaN, gradient included, where they are not."""
    labels = jnp.array([2, bad, 9])
    line(lambda: cross_entropy(CLASSES, labels, smoothing), str(bad), "0 to 9")

    def total(logits, labels):
        losses = cross_entropy(logits, labels, smoothing)
        return losses.sum(), losses

    (_, losses), slope = jax.jit(jax.value_and_grad(total, has_aux=True))(CLASSES, labels)
    np.testing.assert_array_equal(np.isnan(losses), [False, True, False])
    np.testing.assert_array_equal(np.isnan(slope).all(1), [False, True, False])
    np.testing.assert_allclose(losses[0], np.log(10), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cross_entropy(CLASSES, jnp.zeros(3)), ["labels", "float32"]),
        (lambda: cross_entropy(CLASSES, jnp.zeros(4, int)), ["(3,)", "(4,)"]),
        (lambda: cross_entropy(CLASSES, jnp.zeros((3, 10), int)), ["(3,)", "(3, 10)"]),
        (lambda: cross_entropy(CLASSES, jnp.zeros(3, int), 1.5), ["smoothing", "1.5"]),
        (lambda: cross_entropy(CLASSES, jnp.zeros(3, int), -0.1), ["smoothing", "-0.1"]),
        (
            lambda: cross_entropy(CLASSES, jnp.zeros(3, int), 0.0, jnp.ones((3, 9))),
            ["targets", "(3, 9)"],
        ),
    ],
)
def test_what_the_loss_cannot_take_is_named(call, words):
    line(call, *words)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.Conv(0), ["Conv", "features", "0"]),
        (lambda: layers.Conv(2.0), ["Conv", "features", "2.0"]),
        (lambda: layers.Conv(4, kernel_size=0), ["Conv", "kernel_size", "0"]),
        (lambda: layers.Conv(4, kernel_size=(3, 3, 3)), ["Conv", "kernel_size"]),
        (lambda: layers.Conv(4, stride=-1), ["Conv", "stride", "-1"]),
        (lambda: layers.Conv(4, stride=1.5), ["Conv", "stride", "1.5"]),
        (lambda: layers.Conv(4, dilation=0), ["Conv", "dilation", "0"]),
        (lambda: layers.Conv(4, groups=0), ["Conv", "groups", "0"]),
        (lambda: layers.Conv(4, padding="full"), ["Conv", "padding", "'full'"]),
        (lambda: layers.Conv(4, padding=-1), ["Conv", "padding", "-1"]),
        (lambda: layers.Conv(4, dtype=jnp.int32), ["Conv", "dtype", "int32"]),
        (lambda: layers.Conv(4, dtype="number"), ["Conv", "dtype", "number"]),
        (lambda: layers.Conv(4, groups=3), ["Conv", "groups=3", "4 channels"]),
        (lambda: layers.Conv(3, groups=2), ["Conv", "groups=2", "features=3"]),
        (lambda: layers.Conv(4, kernel_size=2), ["'same'", "2"]),
        (lambda: layers.Dense(0), ["Dense", "features", "0"]),
        (lambda: layers.BatchNorm(momentum=1.5), ["BatchNorm", "momentum", "1.5"]),
        (lambda: layers.BatchNorm(momentum=-0.1), ["BatchNorm", "momentum", "-0.1"]),
        (lambda: layers.BatchNorm(epsilon=-1e-5), ["BatchNorm", "epsilon", "-1e-05"]),
        (lambda: layers.BatchNorm(epsilon=float("nan")), ["BatchNorm", "epsilon", "nan"]),
        (lambda: layers.Dropout(-0.1), ["Dropout", "rate", "-0.1"]),
        (lambda: layers.Dropout(2), ["Dropout", "rate", "2"]),
        (lambda: layers.Downsample(stride=0), ["Downsample", "stride", "0"]),
        (lambda: layers.Downsample(window=0), ["Downsample", "window", "0"]),
        (lambda: layers.Downsample("mean"), ["Downsample", "kind", "'mean'"]),
        (lambda: blocks.DepthwiseConv(0), ["DepthwiseConv", "kernel_size", "0"]),
        (lambda: blocks.BasicBlock(0), ["Conv", "features", "0"]),
    ],
)
def test_fields_of_layers_that_cannot_be_are_named(make, words):
    def used():
        layer = make()
        train = {"train": True} if isinstance(layer, (layers.BatchNorm, blocks.BasicBlock)) else {}
        layer.init(jax.random.key(0), X, **train)

    line(used, *words)


def test_layers_name_inputs_that_do_not_fit_and_where_they_stand():
    key = jax.random.key(0)
    line(lambda: layers.Conv(4).init(key, X[0]), "Conv", "(8, 9, 4)")
    line(lambda: layers.Conv(4).init(key, X[..., :0]), "Conv", "0 channels")
    line(lambda: layers.Dense(4).init(key, jnp.ones((2, 0))), "Dense", "(2, 0)")
    line(lambda: layers.BatchNorm().init(key, jnp.ones(3), train=True), "BatchNorm", "(3,)")
    line(
        lambda: blocks.ConvNormAct(4, conv=partial(layers.Conv, groups=3)).init(key, X, train=True),
        "Conv conv",
        "groups=3",
    )


@pytest.mark.parametrize("kind", INTEGERS[:3], ids=lambda kind: kind.__name__)
def test_layers_take_numpys_numbers(kind):
    layer = layers.Conv(kind(6), kind(3), kind(2), kind(1), groups=kind(2))
    y, _ = layer.init_with_output(jax.random.key(0), X)
    assert y.shape == (2, 4, 5, 6)
    y, _ = layers.Dense(kind(5)).init_with_output(jax.random.key(0), X)
    assert y.shape == (2, 8, 9, 5)
    pooled = layers.Downsample("avg", kind(2), kind(3)).apply({}, X)
    assert jnp.shape(pooled) == (2, 4, 5, 4)
