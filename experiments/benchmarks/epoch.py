"""A whole epoch as a user runs it, data, evaluation and checkpoint included.

    python experiments/benchmarks/epoch.py [--cases=NAME,...] [--sides=SIDE,...] [--data=DIR]
        [--epochs=N] [--rounds=N] [--precision=float32|bfloat16] [--out=DIR]

Cases: ``mnist``, LeNet-5 at 32x32, shifts of two pixels; ``cifar10``, ResNet-20, padded crops and
flips; batches of 128, SGD with momentum and weight decay. A tenth of the training images is left
out and measured after each epoch. ``--data`` holds mnist/ and cifar10/ with train/CLASS/*; the
default is the folder that CNN_JAX_TEST_DATA names.

Sides: ``ours``, the command ``cnn-jax train``; ``native``, with ``train.native``; ``torch``, a
plain PyTorch loop whose DataLoader has a worker a core and whose images are in memory as uint8
arrays, each turned into a Pillow image and transformed, as torchvision's MNIST and CIFAR10 do it;
``folder``, the same with torchvision's ImageFolder. The latter two need the extra ``parity``.

Every run is a process of its own, one after the other, sides in turns. An epoch is what passes from
one evaluation's report to the next; the first, which starts with the process and holds imports,
compilation and, for ours, the preparation of the data set (once in all), is listed apart. Medians,
with the least and the most. ``accuracy`` shows that both sides learn. The table goes to --out as
epoch_CASE.csv and .md.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tables  # beside this file, as a script's folder is on the path

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("ours", "native", "torch", "folder")
BATCH, RATE, MOMENTUM, DECAY = 128, 0.05, 0.9, 5e-4
# (network, mean, std, pixels of the padding that crops are taken from, config)
CASES = {
    "mnist": ("lenet5", (0.1307,), (0.3081,), 2, "configs/lenet5_mnist.py"),
    "cifar10": (
        "resnet20",
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
        4,
        "configs/resnet20_cifar10.py",
    ),
}


def our_command(case: str, side: str, data: Path, epochs: int, precision: str, folder: str):
    """Return the command line of ``cnn-jax train``."""
    config = CASES[case][-1]
    images = sum(1 for _ in (data / case / "train").glob("*/*"))
    steps = epochs * -(-round(0.9 * images) // BATCH)
    return [
        *(sys.executable, "-m", "cnn_jax", "train", f"--config={config}"),
        *("--config.data.name=folder", f"--config.data.dir={data / case}"),
        *("--config.data.validation=0.1", f"--config.data.batch_size={BATCH}"),
        *("--config.optim.schedule=constant", f"--config.optim.learning_rate={RATE}"),
        *("--config.optim.warmup=0", f"--config.optim.weight_decay={DECAY}"),
        f"--config.train.steps={steps}",
        f"--config.train.precision={precision}",
        f"--config.train.native={side == 'native'}",
        f"--workdir={folder}/run",
    ]


def torch_loop(case: str, side: str, data: Path, epochs: int, precision: str) -> None:
    """Train with PyTorch; print a line after each epoch's evaluation."""
    import numpy as np
    import torch  # pyright: ignore[reportMissingImports]
    import torch_networks
    from PIL import Image
    from torch.nn import functional  # pyright: ignore[reportMissingImports]
    from torch.utils.data import (  # pyright: ignore[reportMissingImports]
        DataLoader,
        Dataset,
        Subset,
    )

    from cnn_jax.transfer.reference import import_torchvision

    torchvision = import_torchvision()
    name, mean, std, padding, _ = CASES[case]
    grey = len(mean) == 1
    before = [torchvision.transforms.Grayscale()] if grey else []
    before += [torchvision.transforms.Pad(2)] if grey else []  # 28 to 32
    change = [torchvision.transforms.RandomCrop(32, padding=padding)]
    change += [] if grey else [torchvision.transforms.RandomHorizontalFlip()]
    after = [
        torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize(mean, std),
    ]
    training = torchvision.transforms.Compose([*before, *change, *after])
    plain = torchvision.transforms.Compose([*before, *after])
    files = torchvision.datasets.ImageFolder(str(data / case / "train"))

    class InMemory(Dataset):
        """Images as torchvision's own data sets of small images hold them."""

        arrays = np.stack([np.asarray(image) for image, _ in files]) if side == "torch" else None
        labels = files.targets

        def __init__(self, transform: Any):
            self._transform = transform

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, index: int):
            assert self.arrays is not None
            return self._transform(Image.fromarray(self.arrays[index])), self.labels[index]

    def images(transform: Any) -> Any:
        if side == "torch":
            return InMemory(transform)
        return torchvision.datasets.ImageFolder(str(data / case / "train"), transform)

    order = np.random.default_rng(0).permutation(len(files))
    cut = len(files) // 10
    device = "cuda" if torch.cuda.is_available() else "cpu"
    how: dict[str, Any] = {
        "num_workers": len(os.sched_getaffinity(0)),
        "persistent_workers": True,
        "pin_memory": device == "cuda",
    }
    train = DataLoader(
        Subset(images(training), order[cut:].tolist()), BATCH, shuffle=True, drop_last=True, **how
    )
    held_out = DataLoader(Subset(images(plain), order[:cut].tolist()), BATCH, **how)

    layout: Any = torch.contiguous_format if grey else torch.channels_last
    torch.manual_seed(0)
    network = torch_networks.network(name, 10).to(device)
    network.to(memory_format=layout)  # pyright: ignore[reportCallIssue] # PyTorch declares it not
    rule = torch.optim.SGD(network.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def placed(x: Any, y: Any):
        x = x.to(device, non_blocking=True).contiguous(memory_format=layout)
        return x, y.to(device, non_blocking=True)

    def logits(x: Any):
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            return network(x).float()

    with tempfile.TemporaryDirectory() as folder:
        for _ in range(epochs):
            network.train()
            for batch in train:
                x, y = placed(*batch)
                rule.zero_grad()
                functional.cross_entropy(logits(x), y).backward()
                rule.step()
            network.eval()
            right = 0
            with torch.no_grad():
                for batch in held_out:
                    x, y = placed(*batch)
                    right += int((logits(x).argmax(1) == y).sum())
            state = {"network": network.state_dict(), "rule": rule.state_dict()}
            torch.save(state, f"{folder}/state.pt")
            print(f"validation accuracy {100 * right / cut:.2f} %", flush=True)


def run(
    case: str, side: str, data: Path, epochs: int, precision: str
) -> tuple[list[float], str, float | None]:
    """Return (seconds of each epoch, the last accuracy, share of time waiting for data)."""
    with tempfile.TemporaryDirectory() as folder:
        if side in ("ours", "native"):
            command = our_command(case, side, data, epochs, precision, folder)
        else:
            command = [sys.executable, __file__, f"--data={data}", f"--epochs={epochs}"]
            command += [f"--precision={precision}", f"--loop={case},{side}"]
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        times, lines, accuracy = [begin], [], ""
        for line in process.stdout:
            lines.append(line)
            if "validation" in line and "accuracy " in line:
                times.append(time.perf_counter())
                accuracy = line.split("accuracy ")[1].split("%")[0].strip()
        if process.wait() or len(times) != epochs + 1:
            raise SystemExit("".join(lines))
        waited = None
        if side in ("ours", "native"):
            used = json.loads(Path(folder, "run", "result.json").read_text())["seconds_by_use"]
            waited = used["data"] / (used["data"] + used["compute"])
    return [b - a for a, b in itertools.pairwise(times)], accuracy, waited


def measure(case: str, arguments: argparse.Namespace) -> list[tables.Row]:
    """Run the sides of a case in turns; return a row for each."""
    sides = arguments.sides.split(",")
    first: dict[str, list[float]] = {side: [] for side in sides}
    later: dict[str, list[float]] = {side: [] for side in sides}
    ended: dict[str, tuple[str, float | None]] = {}
    for _ in range(arguments.rounds):
        for side in sides:
            seconds, accuracy, waited = run(
                case, side, arguments.data, arguments.epochs, arguments.precision
            )
            ended[side] = accuracy, waited
            first[side].append(seconds[0])
            later[side] += seconds[1:]
    rows = []
    for side in sides:
        middle, (accuracy, waited) = statistics.median(later[side]), ended[side]
        against = statistics.median(later["torch"]) / middle if "torch" in sides else None
        rows.append(
            {
                "case": case,
                "side": side,
                "epoch_s": round(middle, 1),
                "least": round(min(later[side]), 1),
                "most": round(max(later[side]), 1),
                "of_torch": "" if against is None else round(against, 2),
                "first_epoch_s": round(statistics.median(first[side]), 1),
                "waiting_%": "" if waited is None else round(100 * waited, 2),
                "accuracy_%": accuracy,
            }
        )
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--sides", default=",".join(SIDES))
    folder = os.environ.get("CNN_JAX_TEST_DATA")
    parser.add_argument("--data", type=Path, default=folder, required=folder is None)
    parser.add_argument("--epochs", type=int, default=4, help="of a run, 2 or more")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.data = arguments.data.resolve()
    if arguments.loop:
        case, side = arguments.loop.split(",")
        torch_loop(case, side, arguments.data, arguments.epochs, arguments.precision)
        return
    table, cases = [], arguments.cases.split(",")
    for case in cases:
        for row in measure(case, arguments):
            tables.show(row, head=not table)
            table.append(row)
    if arguments.out:
        libraries = tables.versions(*tables.LIBRARIES)
        tables.write(arguments.out, "_".join(["epoch", *cases]), table, libraries)


if __name__ == "__main__":
    main()
