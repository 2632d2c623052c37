"""The PyTorch networks that imported ones are held against. Needs the extra ``parity``."""

import importlib
import importlib.util
import sys
from typing import Any

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer.torch_names import naming

_KEPT: list[Any] = []  # declarations of operators, which live as long as these


def import_torchvision() -> Any:
    """Return the module ``torchvision``, also where its compiled operators do not load.

    They are built for one PyTorch and one CUDA; the networks need none of them, but their import
    looks two operators up. Where these are missing, they are declared, without a body.
    """
    try:
        return importlib.import_module("torchvision")
    except ImportError as error:
        raise BadInputError(
            "the comparison takes PyTorch: pip install 'cnn-jax[parity]'"
        ) from error
    except RuntimeError:
        import torch  # pyright: ignore[reportMissingImports]

        for loaded in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[loaded]
        declared = torch.library.Library("torchvision", "FRAGMENT")
        _KEPT.append(declared)
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return importlib.import_module("torchvision")


def reference_network(name: str, *, num_classes: int, aux: bool = False, **fields: Any) -> Any:
    """Return the untrained ``torch.nn.Module`` behind the layout of ``name``, in evaluation mode.

    ``fields``: ``transform_input``, and ``shortcut`` for CIFAR ResNets. Raises ``BadInputError``
    where PyTorch or torchvision is missing.
    """
    cifar = naming(name).size == 32
    for library in ("torch",) if cifar else ("torch", "torchvision"):
        if importlib.util.find_spec(library) is None:
            raise BadInputError(f"the comparison takes {library}: pip install 'cnn-jax[parity]'")
    if cifar:
        return cifar_resnet((int(name.removeprefix("resnet")) - 2) // 6, num_classes, **fields)
    networks = import_torchvision().models
    if name in ("googlenet", "inception_v3"):
        fields |= {"aux_logits": aux, "init_weights": False}
    return getattr(networks, name)(weights=None, num_classes=num_classes, **fields).eval()


def cifar_resnet(blocks: int, num_classes: int, shortcut: str = "A") -> Any:
    """Return a CIFAR ResNet of ``blocks`` blocks a stage (He et al. 2015, section 4.2) in PyTorch.

    Its names are those of the published weights: conv1, bn1, layer1.0.conv1, …, linear. Shortcuts:
    'A' pads half of the new channels on each side, 'B' projects (shortcut.0, shortcut.1).
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    class Block(nn.Module):
        def __init__(self, channels: int, features: int, stride: int):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(features)
            self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(features)
            self.stride, self.new = stride, features - channels
            self.shortcut = nn.Sequential()
            if shortcut == "B" and (stride > 1 or self.new):
                proj = nn.Conv2d(channels, features, 1, stride, bias=False)
                self.shortcut = nn.Sequential(proj, nn.BatchNorm2d(features))

        def forward(self, x):
            y = functional.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            if shortcut == "A":
                x = x[:, :, :: self.stride, :: self.stride]
                x = functional.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
            return functional.relu(y + self.shortcut(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            channels = 16
            for stage, features in enumerate((16, 32, 64), 1):
                layer = []
                for block in range(blocks):
                    stride = 2 if stage > 1 and block == 0 else 1
                    layer.append(Block(channels, features, stride))
                    channels = features
                self.add_module(f"layer{stage}", nn.Sequential(*layer))
            self.linear = nn.Linear(64, num_classes)

        def forward(self, x):
            x = functional.relu(self.bn1(self.conv1(x)))
            for stage in (1, 2, 3):
                x = self.get_submodule(f"layer{stage}")(x)
            return self.linear(torch.mean(x, (2, 3)))

    return Net().eval()
