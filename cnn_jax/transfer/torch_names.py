"""What the tensors of PyTorch's well-known networks are called, and how they are laid out.

For every network that can be imported: the PyTorch module behind each of our modules, so that a
path such as stage2_block1/proj becomes layer2.0.downsample.0.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping

from cnn_jax.models import constructor, resnet, squeezenet, vgg
from cnn_jax.runtime.errors import BadInputError

Path = tuple[str, ...]
Names = Callable[[Path], str]


@dataclasses.dataclass(frozen=True)
class Naming:
    """How one PyTorch network stores what ours has.

    Attributes:
        module: the PyTorch module of one of our modules' paths.
        head: the PyTorch module of the classifier, whose rows are the classes.
        stem: the PyTorch module of the first convolution.
        size: rows and columns of the images that the network is made for.
        aux: the start of the auxiliary heads' names, where there may be some.
        flattened: pixels on a side of the maps that the named dense layers take, flattened
            channels first by PyTorch and last by us.
        aliases: other names that some of the modules go by, to the usual ones.
    """

    module: Names
    head: str
    stem: str
    size: int = 224
    aux: str | None = None
    flattened: dict[Path, int] = dataclasses.field(default_factory=dict)
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def anchors(self) -> list[tuple[str, str]]:
        """Return sets of tensors' names of which every file of this network has one."""
        heads = [self.head, *(name for name, usual in self.aliases.items() if usual == self.head)]
        return [(f"{self.stem}.weight", f"{head}.weight") for head in heads]

    def usual(self, key: str) -> str:
        """Return a tensor's usual name."""
        module, _, leaf = key.rpartition(".")
        return f"{self.aliases.get(module, module)}.{leaf}"


# timm's VGG has convolutions over the whole map where the paper has dense layers.
_TIMM_VGG = {
    "pre_logits.fc1": "classifier.0",
    "pre_logits.fc2": "classifier.3",
    "head.fc": "classifier.6",
}


def _dense(path: Path, places: tuple[int, int, int]) -> str:
    return f"classifier.{places[('fc6', 'fc7', 'head').index(path[0])]}"


def _alexnet(path: Path) -> str:
    convs = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    return f"features.{convs[path[0]]}" if path[0] in convs else _dense(path, (1, 4, 6))


def _vgg(name: str) -> Names:
    fields = vgg.VARIANTS[name].keywords
    step = 3 if fields.get("batch_norm") else 2  # convolution, normalisation if any, ReLU
    places, place = {}, 0
    for stage, convs in enumerate(fields["stages"], 1):
        for index in range(1, convs + 1):
            places[f"conv{stage}_{index}"] = place
            places[f"bn{stage}_{index}"] = place + 1
            place += step
        place += 1  # the pool

    def module(path: Path) -> str:
        known = places.get(path[0])
        return _dense(path, (0, 3, 6)) if known is None else f"features.{known}"

    return module


def _squeezenet(name: str) -> Names:
    preset = getattr(constructor(name), "keywords", {})
    pools = preset.get("pools", squeezenet.SqueezeNet.pools)
    places, place = {"conv1": 0}, 1
    for index in range(2, 10):
        place += 2 if index - 1 in pools else 1
        places[f"fire{index}"] = place

    def module(path: Path) -> str:
        if path == ("head",):
            return "classifier.1"
        return ".".join([f"features.{places[path[0]]}", *path[1:]])

    return module


def _resnet(head: str, shortcut: str) -> Names:
    inner = {"proj": f"{shortcut}.0", "proj_bn": f"{shortcut}.1"}

    def module(path: Path) -> str:
        if path == ("head",):
            return head
        block = re.fullmatch(r"stage(\d+)_block(\d+)", path[0])
        if block is None:
            return path[0]
        return f"layer{block[1]}.{int(block[2]) - 1}.{inner.get(path[1], path[1])}"

    return module


def _googlenet(path: Path) -> str:
    branches = {
        "b1x1": "branch1",
        "b3x3_reduce": "branch2.0",
        "b3x3": "branch2.1",
        "b5x5_reduce": "branch3.0",
        "b5x5": "branch3.1",
        "pool_proj": "branch4.1",
    }
    if path[-1] == "head":
        return ".".join([*path[:-1], "fc2" if len(path) > 1 else "fc"])
    return ".".join(branches.get(part, part) for part in path)


def _inception_v3(path: Path) -> str:
    stem = {
        "conv1a": "Conv2d_1a_3x3",
        "conv2a": "Conv2d_2a_3x3",
        "conv2b": "Conv2d_2b_3x3",
        "conv3b": "Conv2d_3b_1x1",
        "conv4a": "Conv2d_4a_3x3",
    }
    first, *rest = path
    if first == "aux":
        parts = {"conv1": "conv0", "conv2": "conv1", "head": "fc"}
        return ".".join(["AuxLogits", parts[rest[0]], *rest[1:]])
    if first == "head":
        return "fc"
    if first in stem:
        return ".".join([stem[first], *rest])
    branch = "branch_pool" if rest[0] == "pool_proj" else "branch" + rest[0].removeprefix("b")
    return ".".join([first.replace("inception", "Mixed_"), branch, *rest[1:]])


def _namings() -> dict[str, Naming]:
    known = {
        "alexnet": Naming(_alexnet, "classifier.6", "features.0", flattened={("fc6",): 6}),
        "googlenet": Naming(
            _googlenet,
            "fc",
            "conv1.conv",
            aux="aux1.",
            flattened={("aux1", "fc1"): 4, ("aux2", "fc1"): 4},
        ),
        "inception_v3": Naming(_inception_v3, "fc", "Conv2d_1a_3x3.conv", 299, aux="AuxLogits."),
    }
    for name in vgg.VARIANTS:
        known[name] = Naming(
            _vgg(name), "classifier.6", "features.0", flattened={("fc6",): 7}, aliases=_TIMM_VGG
        )
    for name in ("squeezenet1_0", "squeezenet1_1"):
        known[name] = Naming(_squeezenet(name), "classifier.1", "features.0")
    for name, build in resnet.VARIANTS.items():
        if build.keywords.get("shortcut", "B") is None:
            continue  # nobody published plain networks in this layout
        if build.keywords.get("stem") == "cifar":
            known[name] = Naming(_resnet("linear", "shortcut"), "linear", "conv1", 32)
        else:
            known[name] = Naming(_resnet("fc", "downsample"), "fc", "conv1")
    return known


NAMINGS = _namings()


def naming(name: str) -> Naming:
    """Return how PyTorch stores the network ``name``, or raise ``BadInputError``."""
    constructor(name)  # an unknown model's error names the nearest ones
    if name not in NAMINGS:
        raise BadInputError(
            f"no PyTorch layout is known for {name!r}; those of {', '.join(NAMINGS)} are"
        )
    return NAMINGS[name]
