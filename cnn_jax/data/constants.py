"""The constants that images are normalised by: mean and standard deviation by channel, in 0..1."""

from cnn_jax.ops import imagenet

Constants = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Constants = (imagenet.MEAN, imagenet.STD)

# Of all pixels of the training images, to four digits, as the literature has them.
KNOWN: dict[str, Constants] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet2012": IMAGENET,
    "imagenet_resized": IMAGENET,
    "imagenette": IMAGENET,
    "imagewoof": IMAGENET,
}
