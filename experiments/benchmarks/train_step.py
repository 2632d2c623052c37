"""A whole training step: ours, stock Flax and PyTorch, on the same networks.

    python experiments/benchmarks/train_step.py [--networks=NAME,...] [--sides=SIDE,...]
        [--precision=float32|bfloat16] [--memory=own|all] [--batch=N] [--repeats=N] [--out=DIR]

A step is forward, loss, backward, BatchNorm's statistics and SGD with momentum and weight decay,
on a batch that lies on the device. Every side runs in a process of its own; they take turns step
by step (``turns.py``), so that all see the same machine. ``--memory=own`` is what users get: ours
with the memory setting of the command line, the others untouched; ``all`` gives it to every side
(CPU and glibc only). ``--batch`` is for devices that hold more than the batches below.

Sides: ``ours``; ``native``, the same with oneDNN's convolutions (``train.native``, extra
``native``; CPU only); ``flax``, the same networks on Flax's own layers
(``flax_layers.py``); ``torch``, eager PyTorch, channels last but for LeNet-5; ``compiled``,
torch.compile of it. The last two need the extra ``parity``. Networks with auxiliary heads train
with them.

The table: the median step in ms with its quartiles; images/s; how many times as fast as ``flax``
and as ``torch``, of medians; seconds until the first step was ready (compilation, or PyTorch's
first step); the process's peak memory in MiB, or the device's where it says. Parameters are
counted on every side and have to agree. It goes to --out as train_step.csv, .md and .png, or
train_step_memory_all and train_step_bfloat16 where those are asked for.
"""

import argparse
import contextlib
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import tables  # beside this file, as a script's folder is on the path
import turns

SIDES = ("ours", "native", "flax", "torch", "compiled")
OURS = SIDES[:2]
# name: (batch, image side, channels, classes); batches that 24 GB hold, as users choose them
NETWORKS = {
    "lenet5": (256, 32, 1, 10),
    "resnet20": (128, 32, 3, 10),
    "resnet110": (128, 32, 3, 10),
    "alexnet": (32, 224, 3, 1000),
    "vgg16": (8, 224, 3, 1000),
    "googlenet": (16, 224, 3, 1000),
    "inception_v3": (8, 299, 3, 1000),
    "resnet50": (16, 224, 3, 1000),
    "mobilenet_v1": (16, 224, 3, 1000),
    "squeezenet1_0": (16, 224, 3, 1000),
}
RATE, MOMENTUM, DECAY = 1e-3, 0.9, 1e-4


def worker(name: str, side: str, precision: str, tuned: bool) -> None:
    """Prepare one side's step of one network and serve turns."""
    done = False
    if tuned:
        from cnn_jax.runtime.malloc import tune_malloc

        done = tune_malloc()
    begin = time.perf_counter()
    make = torch_step if side in ("torch", "compiled") else jax_step
    step, params, peak = make(name, side, precision)
    step()
    ready = time.perf_counter() - begin
    turns.serve({"ready": ready, "params": params, "tuned": done}, step, peak)


def set_batch(name: str, batch: int | None) -> None:
    """Let a network's batch be another, if one is given."""
    if batch is not None:
        NETWORKS[name] = (batch, *NETWORKS[name][1:])


def batch_of(name: str) -> tuple[Any, Any]:
    """Return random images [N, H, W, C] and labels [N] of a network."""
    import numpy as np

    batch, side, channels, classes = NETWORKS[name]
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, side, side, channels), np.float32)
    return images, rng.integers(classes, size=batch)


def jax_step(name: str, side: str, precision: str):
    """Return (the step, its number of parameters, its peak) of this project or of stock Flax."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax_layers import flax_layers

    from cnn_jax import models, ops
    from cnn_jax.data.prepare.cache import cache_dir
    from cnn_jax.ops.cpu import build_onednn
    from cnn_jax.tasks import Classification
    from cnn_jax.train import optim, schedules, state
    from cnn_jax.train.step import make_train_step

    def peak() -> int:
        held = jax.local_devices()[0].memory_stats()
        return held["peak_bytes_in_use"] >> 20 if held else turns.process_peak()

    images, labels = batch_of(name)
    dtype = jnp.dtype(precision)
    classes = NETWORKS[name][3]
    module = models.create(name, num_classes=classes, dtype=dtype)
    data = {"image": jnp.asarray(images, dtype), "label": jnp.asarray(labels, jnp.int32)}

    if side in OURS:
        rate = schedules.make_schedule("constant", learning_rate=RATE, total_steps=1)
        optimizer = optim.make_optimizer("sgd", rate, momentum=MOMENTUM, weight_decay=DECAY)
        start = jax.jit(lambda: state.init_state(module, optimizer, images.shape[1:], 0, dtype))()
        task = Classification(classes, aux_weights=getattr(module, "AUX_WEIGHTS", ()))
        update = make_train_step(module, task, optimizer, seed=0)
        context = contextlib.nullcontext
        if side == "native":
            build_onednn.load(cache_dir() / "native")
            context = ops.native

        def step(state, batch):
            with context():
                return update(state, batch)

        step = jax.jit(step, donate_argnums=0)
        count, held = sum(x.size for x in jax.tree.leaves(start.variables["params"])), [start]

        def run() -> float:
            held[0], measured = step(held[0], data)
            return float(jax.block_until_ready(measured).loss) / len(labels)

        return run, count, peak

    rule = optax.chain(optax.add_decayed_weights(DECAY), optax.sgd(RATE, MOMENTUM))

    def flax_step(variables, opt_state, key, data):
        params = variables["params"]
        rest = {k: v for k, v in variables.items() if k != "params"}
        key, dropout = jax.random.split(key)

        def loss_fn(params):
            outputs, updated = module.apply(
                {"params": params, **rest},
                data["image"],
                train=True,
                rngs={"dropout": dropout},
                mutable=list(rest),
            )
            logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
            cross = optax.softmax_cross_entropy_with_integer_labels
            loss = cross(logits, data["label"]).mean()
            for weight, head in zip(getattr(module, "AUX_WEIGHTS", ()), heads, strict=False):
                loss += weight * cross(head, data["label"]).mean()
            return loss, updated

        (loss, updated), gradient = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = rule.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        return {"params": params, **updated}, opt_state, key, loss

    with flax_layers():
        init = jax.jit(lambda key, x: module.init(key, x, train=False))
        variables = dict(init(jax.random.key(0), data["image"][:1]))
        count = sum(x.size for x in jax.tree.leaves(variables["params"]))
        compiled = jax.jit(flax_step, donate_argnums=(0, 1, 2))
        held: list[Any] = [variables, rule.init(variables["params"]), jax.random.key(1)]
        compiled = compiled.lower(*held, data).compile()

    def run_flax() -> float:
        *held[:], loss = compiled(*held, data)
        return float(loss)

    return run_flax, count, peak


def torch_step(name: str, side: str, precision: str):
    """Return (the step, its number of parameters, its peak) of PyTorch, eager or compiled."""
    import torch  # pyright: ignore[reportMissingImports]
    import torch_networks
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = batch_of(name)
    torch.manual_seed(0)
    layout: Any = torch.contiguous_format if name == "lenet5" else torch.channels_last
    network = torch_networks.network(name, NETWORKS[name][3])
    network = network.to(device).train()
    network.to(memory_format=layout)  # pyright: ignore[reportCallIssue] # PyTorch declares it not
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(device).contiguous(memory_format=layout)
    y = torch.from_numpy(labels).to(device)
    rule = torch.optim.SGD(network.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY)
    called = torch.compile(network) if side == "compiled" else network
    half = precision == "bfloat16"
    weight = {"googlenet": 0.3, "inception_v3": 0.4}.get(name, 0.0)

    def run() -> float:
        rule.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=half):
            first, *heads = torch_networks.losses(called(x))
            loss = functional.cross_entropy(first, y)
            for head in heads:
                loss = loss + weight * functional.cross_entropy(head, y)
        loss.backward()
        rule.step()
        return loss.item()  # waits for the device

    def peak() -> int:
        return torch.cuda.max_memory_allocated() >> 20 if device == "cuda" else turns.process_peak()

    return run, sum(p.numel() for p in network.parameters()), peak


def measure(name: str, sides: list[str], arguments: argparse.Namespace) -> list[tables.Row]:
    """Time the sides of one network in turns; return a row for each."""
    workers, times, peaks = {}, {side: [] for side in sides}, {}
    for side in sides:  # prepared one after the other, so that compile times are comparable
        tuned = side in OURS or arguments.memory == "all"
        own = [name, side, arguments.precision, str(int(tuned)), str(NETWORKS[name][0])]
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", *own]
        workers[side] = turns.Worker(command, os.environ)
    counts = {side: worker.ready["params"] for side, worker in workers.items()}
    if len(set(counts.values())) > 1:
        raise SystemExit(f"{name}: the sides are different networks: {counts} parameters")
    for turn in range(arguments.repeats + 1):
        for side, worker in workers.items():
            answer = worker.ask()
            if turn:  # the first warms the memory up
                times[side].append(answer["ms"])
            peaks[side] = answer["peak"]
            if not math.isfinite(answer["loss"]):
                raise SystemExit(f"{name}, {side}: the loss is {answer['loss']}")
    for worker in workers.values():
        worker.close()
    middle = {side: statistics.median(found) for side, found in times.items()}
    return [
        {
            "network": name,
            "batch": NETWORKS[name][0],
            "side": side,
            "ms": round(middle[side], 1),
            "low": round(statistics.quantiles(times[side], n=4)[0], 1),
            "high": round(statistics.quantiles(times[side], n=4)[2], 1),
            "images_per_s": round(1e3 * NETWORKS[name][0] / middle[side], 1),
            **{
                f"of_{other}": round(middle[other] / middle[side], 2) if other in middle else ""
                for other in ("flax", "torch")
            },
            "ready_s": round(workers[side].ready["ready"], 1),
            "peak_mib": peaks[side],
            "memory_setting": "on" if workers[side].ready["tuned"] else "off",
        }
        for side in sides
    ]


def means(table: list[tables.Row]) -> list[str]:
    """Return a remark on each geometric mean over the networks, of our sides' ratios."""
    found = []
    for side in OURS:
        for column in ("of_flax", "of_torch"):
            ratios = [row[column] for row in table if row["side"] == side and row[column] != ""]
            if ratios:
                mean, other = statistics.geometric_mean(ratios), column.removeprefix("of_")
                found.append(
                    f"`{side}`, geometric mean over {len(ratios)} networks: {mean:.2f} times "
                    f"`{other}`; least {min(ratios)}."
                )
    return found


def bars(table: list[tables.Row], file: Path) -> None:
    """Draw each side's speed as a multiple of stock Flax's."""
    from cnn_jax.runtime import colours, figures

    networks = list(dict.fromkeys(row["network"] for row in table))
    sides = list(dict.fromkeys(row["side"] for row in table))
    width = 0.8 / len(sides)
    with figures.drawn([file], (1.5 + 1.0 * len(networks), 3.6)) as figure:
        axes = figure.subplots()
        for i, side in enumerate(sides):
            rows = {row["network"]: row for row in table if row["side"] == side}
            heights = [float(rows[name]["of_flax"] or 0) for name in networks]
            places = [x + (i - (len(sides) - 1) / 2) * width for x in range(len(networks))]
            drawn = axes.bar(places, heights, width, label=side, color=colours.COLOURS[i])
            axes.bar_label(drawn, [f"{height:.2g}" for height in heights], fontsize=6)
        axes.axhline(1, color="black", linewidth=0.5)
        figures.plain(axes, ylabel="images/s, of stock Flax's")
        axes.set_xticks(range(len(networks)), networks, rotation=20)
        axes.grid(visible=False, axis="x")
        axes.set_title("A whole training step")
        axes.legend()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--memory", default="own", choices=("own", "all"))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, side, precision, tuned, batch = arguments.worker
        set_batch(name, int(batch))
        worker(name, side, precision, tuned == "1")
        return
    table = []
    for name in arguments.networks.split(","):
        set_batch(name, arguments.batch)
        for row in measure(name, arguments.sides.split(","), arguments):
            tables.show(row, head=not table)
            table.append(row)
    remarks = means(table)
    print("\n".join(remarks))
    if arguments.out:
        libraries = tables.versions(*tables.LIBRARIES)
        name = "train_step"
        name += "_memory_all" if arguments.memory == "all" else ""
        name += f"_{arguments.precision}" if arguments.precision != "float32" else ""
        tables.write(arguments.out, name, table, libraries, *remarks)
        bars(table, arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
