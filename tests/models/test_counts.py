"""Parameters and multiply-adds of every model, against published counts and plain arithmetic."""

import functools

import pytest

from cnn_jax.analysis import summarize
from cnn_jax.models import MODELS, create

IMAGENET = ((224, 224, 3), 1000)
BIG = ((299, 299, 3), 1000)
CROP = ((227, 227, 3), 1000)
CIFAR = ((32, 32, 3), 10)
MNIST = ((28, 28, 1), 10)
PADDED = ((32, 32, 1), 10)


def conv(side, field, inputs, outputs):
    """Multiply-adds of one convolution with side² outputs."""
    return side**2 * field**2 * inputs * outputs


NIN = (
    conv(32, 5, 3, 192) + conv(32, 1, 192, 160) + conv(32, 1, 160, 96)
    + conv(16, 5, 96, 192) + 2 * conv(16, 1, 192, 192)
    + conv(8, 3, 192, 192) + conv(8, 1, 192, 192) + conv(8, 1, 192, 10)
)  # fmt: skip
TAIL = conv(8, 3, 192, 192) + conv(8, 1, 192, 192) + conv(8, 1, 192, 10)
DOWN = conv(16, 3, 96, 96) + conv(8, 3, 192, 192)  # the strided 3x3 in place of the pools
ALLCNN_A = conv(32, 5, 3, 96) + conv(16, 5, 96, 192) + TAIL
ALLCNN_B = ALLCNN_A + conv(32, 1, 96, 96) + conv(16, 1, 192, 192)
ALLCNN_C = (
    conv(32, 3, 3, 96) + conv(32, 3, 96, 96) + conv(16, 3, 96, 192) + conv(16, 3, 192, 192) + TAIL
)
CLASSIC = conv(28, 5, 1, 6) + conv(10, 5, 6, 16) + 400 * 120 + 120 * 84  # C3 filled up by zeros

# name, fields, input and classes, parameters, MACs: an exact int, or published GMACs as printed
ROWS = [
    ("mlp", {}, MNIST, 266_610, 784 * 300 + 300 * 100 + 1000),
    ("mlp", {"hidden": (300,)}, MNIST, 238_510, 784 * 300 + 3000),
    ("mlp", {"hidden": (500, 150)}, MNIST, 469_160, 784 * 500 + 500 * 150 + 1500),
    ("mlp", {"hidden": (100,)}, ((16, 16, 1), 26), 28_326, 256 * 100 + 2600),
    ("lenet1", {}, MNIST, 3_246, 136_320),
    ("lenet5_classic", {}, PADDED, 60_000, CLASSIC),
    ("lenet5", {}, PADDED, 61_706, 416_520),
    ("alexnet", {}, IMAGENET, 61_100_840, "0.714"),
    ("alexnet_2012", {}, CROP, 60_965_224, 724_406_816),
    ("alexnet_2012", {"groups": 1}, CROP, 62_378_344, "1.135"),
    ("zfnet", {}, IMAGENET, 62_357_608, 1_168_032_896),
    ("vgg11", {}, IMAGENET, 132_863_336, "7.609"),
    ("vgg11_bn", {}, IMAGENET, 132_868_840, "7.609"),
    ("vgg13", {}, IMAGENET, 133_047_848, "11.308"),
    ("vgg13_bn", {}, IMAGENET, 133_053_736, "11.308"),
    ("vgg16", {}, IMAGENET, 138_357_544, "15.470"),
    ("vgg16_bn", {}, IMAGENET, 138_365_992, "15.470"),
    ("vgg19", {}, IMAGENET, 143_667_240, "19.632"),
    ("vgg19_bn", {}, IMAGENET, 143_678_248, "19.632"),
    ("googlenet", {"aux": False}, IMAGENET, 6_624_904, "1.498"),
    ("googlenet", {}, IMAGENET, 13_004_888, "1.498"),
    ("inception_v1", {"aux": False}, IMAGENET, 6_998_552, 1_582_671_872),
    ("inception_v1", {}, IMAGENET, 13_378_280, 1_582_671_872),
    ("inception_v1", {"aux": False, "reduce": False}, IMAGENET, 97_526_008, None),
    ("inception_v3", {"aux": False}, BIG, 23_834_568, "5.713"),
    ("inception_v3", {}, BIG, 27_161_264, "5.713"),
    ("resnet18", {}, IMAGENET, 11_689_512, "1.814"),
    ("resnet18", {"shortcut": "A"}, IMAGENET, 11_515_688, None),
    ("plain18", {}, IMAGENET, 11_515_688, None),
    ("resnet34", {}, IMAGENET, 21_797_672, "3.664"),
    ("resnet34", {"shortcut": "A"}, IMAGENET, 21_623_848, None),
    ("plain34", {}, IMAGENET, 21_623_848, None),
    ("resnet50", {}, IMAGENET, 25_557_032, "4.089"),
    ("resnet101", {}, IMAGENET, 44_549_160, "7.801"),
    ("resnet152", {}, IMAGENET, 60_192_808, "11.514"),
    ("resnet50", {"version": 1}, IMAGENET, 25_557_032, "3.858"),
    ("resnet101", {"version": 1}, IMAGENET, 44_549_160, "7.570"),
    ("resnet152", {"version": 1}, IMAGENET, 60_192_808, "11.282"),
    ("squeezenet1_0", {}, IMAGENET, 1_248_424, "0.819"),
    ("squeezenet1_1", {}, IMAGENET, 1_235_496, "0.349"),
    ("squeezenet1_0", {"squeeze_ratio": 0.25}, IMAGENET, 1_967_080, None),
    ("squeezenet1_0", {"squeeze_ratio": 0.5}, IMAGENET, 3_404_392, None),
    ("squeezenet1_0", {"squeeze_ratio": 0.75}, IMAGENET, 4_841_704, None),
    ("squeezenet1_0", {"squeeze_ratio": 1.0}, IMAGENET, 6_279_016, None),
    ("squeezenet1_0", {"bypass": "simple"}, IMAGENET, 1_248_424, "0.819"),
    ("mobilenet_v1", {}, IMAGENET, 4_231_976, 568_740_352),
    ("mobilenet_v1", {"width": 0.75}, IMAGENET, 2_585_560, "0.3254"),
    ("mobilenet_v1", {"width": 0.5}, IMAGENET, 1_331_592, 149_497_088),
    ("mobilenet_v1", {"width": 0.25}, IMAGENET, 470_072, 41_030_272),
    ("mobilenet_v1", {"separable": False}, IMAGENET, 29_294_088, "4.867"),
    ("nin", {}, CIFAR, 966_986, NIN),
    ("allcnn_a", {"downsample": "pool"}, CIFAR, 839_242, ALLCNN_A),
    ("allcnn_b", {"downsample": "pool"}, CIFAR, 885_610, ALLCNN_B),
    ("allcnn_c", {"downsample": "pool"}, CIFAR, 954_730, ALLCNN_C),
    ("allcnn_a", {"downsample": "stride"}, CIFAR, 839_242, None),
    ("allcnn_b", {"downsample": "stride"}, CIFAR, 885_610, None),
    ("allcnn_c", {"downsample": "stride"}, CIFAR, 954_730, None),
    ("allcnn_a", {"downsample": "convpool"}, CIFAR, 1_254_250, ALLCNN_A + 4 * DOWN),
    ("allcnn_b", {"downsample": "convpool"}, CIFAR, 1_300_618, ALLCNN_B + 4 * DOWN),
    ("allcnn_c", {"downsample": "convpool"}, CIFAR, 1_369_738, ALLCNN_C + 4 * DOWN),
    ("allcnn_a", {}, CIFAR, 1_254_250, ALLCNN_A + DOWN),
    ("allcnn_b", {}, CIFAR, 1_300_618, ALLCNN_B + DOWN),
    ("allcnn_c", {}, CIFAR, 1_369_738, "0.2812"),
    ("allcnn_c", {}, ((32, 32, 3), 100), 1_387_108, None),
]

# He et al. 2015, section 4.2: depth, parameters with shortcuts A and B, MACs with A.
CIFAR_RESNETS = [
    (20, 269_722, 272_474, 40_551_040),
    (32, 464_154, 466_906, 68_862_592),
    (44, 658_586, 661_338, 97_174_144),
    (56, 853_018, 855_770, 125_485_696),
    (110, 1_727_962, 1_730_714, 252_887_680),
    (1202, 19_421_274, 19_424_026, 2_829_238_912),
]
for depth, params_a, params_b, macs in CIFAR_RESNETS:
    ROWS.append((f"resnet{depth}", {}, CIFAR, params_a, macs))
    projections = conv(16, 1, 16, 32) + conv(8, 1, 32, 64)
    ROWS.append((f"resnet{depth}", {"shortcut": "B"}, CIFAR, params_b, macs + projections))
    if depth <= 110:
        ROWS.append((f"plain{depth}", {}, CIFAR, params_a, macs))


@functools.cache
def summary(name, fields, shape, classes):
    return summarize(create(name, num_classes=classes, **dict(fields)), shape)


def label(row):
    return "-".join([row[0], *(f"{key}={value}" for key, value in row[1].items())])


@pytest.mark.parametrize(
    "row",
    [
        # Two traces of 1,202 layers take 15 seconds.
        pytest.param(row, marks=pytest.mark.slow if row[0] == "resnet1202" else ())
        for row in ROWS
    ],
    ids=label,
)
def test_parameters_and_multiply_adds_are_the_published_ones(row):
    name, fields, (shape, classes), params, macs = row
    counted = summary(name, tuple(fields.items()), shape, classes)
    assert counted.params == params
    if isinstance(macs, str):
        digits = len(macs.partition(".")[2])
        assert f"{counted.macs / 1e9:.{digits}f}" == macs
    elif macs is not None:
        assert counted.macs == macs


def test_every_model_has_a_row():
    assert {row[0] for row in ROWS} == set(MODELS)


@pytest.mark.parametrize(("shortcut", "plain"), [("resnet18", "plain18"), ("resnet34", "plain34")])
def test_a_plain_network_costs_what_its_residual_twin_with_shortcut_a_costs(shortcut, plain):
    shape, classes = IMAGENET
    residual = summary(shortcut, (("shortcut", "A"),), shape, classes)
    assert residual.macs == summary(plain, (), shape, classes).macs


def test_bypasses_of_squeezenet_cost_what_the_paper_says():
    shape, classes = IMAGENET
    none = summary("squeezenet1_0", (), shape, classes)
    complex_ = summary("squeezenet1_0", (("bypass", "complex"),), shape, classes)
    # 1x1 convolutions with bias around fire2, 4, 6, 8: 96-128, 128-256, 256-384, 384-512.
    extra = sum(i * o + o for i, o in ((96, 128), (128, 256), (256, 384), (384, 512)))
    assert complex_.params - none.params == extra


def test_dense_layers_of_alexnet_are_the_published_ones():
    shape, classes = CROP
    rows = {row.path: row for row in summary("alexnet_2012", (), shape, classes).rows}
    dense = [rows[name].params for name in ("fc6", "fc7", "head")]
    assert dense == [37_752_832, 16_781_312, 4_097_000]


def test_convolutions_of_vgg16_alone_are_the_papers_15_3_gigamacs():
    shape, classes = IMAGENET
    rows = summary("vgg16", (), shape, classes).rows
    assert f"{sum(row.macs for row in rows if row.kind == 'Conv') / 1e9:.3f}" == "15.347"


@pytest.mark.parametrize("letter", ["a", "b", "c"])
def test_a_stride_makes_the_convolution_before_it_four_times_cheaper(letter):
    shape, classes = CIFAR
    name = f"allcnn_{letter}"
    pooled = summary(name, (("downsample", "pool"),), shape, classes)
    strided = summary(name, (("downsample", "stride"),), shape, classes)
    field = {"a": 5, "b": 1, "c": 3}[letter]
    inputs = {"a": (3, 96), "b": (96, 192), "c": (96, 192)}[letter]
    full = conv(32, field, inputs[0], 96) + conv(16, field, inputs[1], 192)
    assert pooled.macs - strided.macs == full - full // 4
