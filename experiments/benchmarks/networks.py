"""Training steps of five networks: this project's layers against stock Flax, on the CPU.

    python experiments/benchmarks/networks.py [--networks=NAME,...] [--repeats=N] [--csv=FILE]

Each side runs in a process of its own, as a user would run it: stock Flax with nothing set, ours
with the memory setting of the command line (``CNN_JAX_TUNE_MALLOC=0`` switches it off). The two
take turns, step by step, so that both see the same machine. A step is forward, backward and SGD.

The table: median step in ms and the spread (quartiles), the ratio of medians, seconds to trace
and compile, and MiB of temporary buffers by XLA's memory analysis.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIDES = ("stock", "ours")


def worker(name: str, side: str) -> None:
    """Compile one training step, then run one for each line on stdin and print its seconds."""
    tuned = False
    if side == "ours":
        from cnn_jax.memory import tune_malloc

        tuned = tune_malloc()
    import jax
    import jax.numpy as jnp
    import nets  # beside this file, as a script's folder is on the path
    import numpy as np

    network, shape = nets.NETWORKS[name]
    model = network(nets.our_kit() if side == "ours" else nets.stock_kit())
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal(shape, np.float32))
    labels = jnp.asarray(rng.integers(0, 10, shape[0]))
    variables = jax.jit(model.init)(jax.random.key(0), x)

    def loss(params, rest, x):
        logits, state = model.apply({"params": params, **rest}, x, mutable=list(rest))
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
        return -chosen.mean(), state

    def step(variables, x):
        params = variables["params"]
        rest = {k: v for k, v in variables.items() if k != "params"}
        (value, state), gradient = jax.value_and_grad(loss, has_aux=True)(params, rest, x)
        params = jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient)
        return {"params": params, **state}, value

    begin = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(variables, x).compile()
    seconds = time.perf_counter() - begin
    analysis = compiled.memory_analysis()
    assert analysis is not None
    temporary = analysis.temp_size_in_bytes
    report = {"compile": seconds, "bytes": temporary, "tuned": tuned, "jax": jax.__version__}
    print(json.dumps(report), flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        variables, value = jax.block_until_ready(compiled(variables, x))
        print(
            json.dumps({"seconds": time.perf_counter() - begin, "loss": float(value)}), flush=True
        )


def measure(name: str, repeats: int) -> dict[str, dict]:
    """Time both sides of one network in turns; return a record for each."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", name]
    processes, records = {}, {}
    for side in SIDES:  # one after the other, so that compile times are comparable
        process = subprocess.Popen(
            [*command, side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        processes[side] = (process, process.stdin, process.stdout)
        records[side] = {**json.loads(process.stdout.readline()), "times": []}
    for turn in range(repeats + 1):
        for side, (_, ask, answer) in processes.items():
            ask.write("\n")
            ask.flush()
            result = json.loads(answer.readline())
            if turn:  # the first step warms the memory up
                records[side]["times"].append(1e3 * result["seconds"])
            else:
                records[side]["loss"] = result["loss"]
    for process, ask, _ in processes.values():
        ask.close()
        process.wait()
    return records


def rows(name: str, records: dict[str, dict]) -> list[dict]:
    """Return a table row for each side."""
    stock = statistics.median(records["stock"]["times"])
    table = []
    for side, record in records.items():
        low, middle, high = statistics.quantiles(record["times"], n=4)
        table.append(
            {
                "network": name,
                "side": side,
                "ms": round(middle, 1),
                "low": round(low, 1),
                "high": round(high, 1),
                "times_stock": round(stock / middle, 2),
                "compile_s": round(record["compile"], 1),
                "temp_mib": record["bytes"] >> 20,
                "first_loss": round(record["loss"], 4),
                "memory_setting": "on" if record["tuned"] else "off",
                "jax": record["jax"],
            }
        )
    return table


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", default="resnet20,resnet50,mobilenet_v1,vgg16,lenet5")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--worker", nargs=2, metavar=("NETWORK", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*arguments.worker)
        return
    table = []
    for name in arguments.networks.split(","):
        for row in rows(name, measure(name, arguments.repeats)):
            if not table:
                print("  ".join(f"{key:>13}" for key in row))
            print("  ".join(f"{value!s:>13}" for value in row.values()), flush=True)
            table.append(row)
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, table[0])
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
