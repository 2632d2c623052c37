"""A campaign: many seeded cases, in processes of their own, counted by how they ended."""

import argparse
import collections
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# What one process may take: a case that wants more ends in a MemoryError, not in the machine's end.
MEMORY = 12 << 30
SHOWN = 40  # failures that are printed whole

One = Callable[[int, int, Path], tuple[str, str]]


def main(
    module: str,
    one: One,
    prepare: Callable[[Path], None],
    *,
    good: Sequence[str],
    at_least: Mapping[str, float] | None = None,
) -> None:
    """Run cases as the command line asks; exit with 1 if one failed.

    Args:
        module: the campaign's own name, for its processes.
        one: (seed, number, folder) -> (how the case ended, its description).
        prepare: makes in a folder what the cases need.
        good: the ends that are no failures.
        at_least: shares of all cases that have to end so.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--list", action="store_true", help="print each case with its end")
    flags = parser.parse_args()
    lines = _in_processes(module, flags) if flags.jobs > 1 else _here(one, prepare, flags)
    ends: collections.Counter[str] = collections.Counter()
    failures = []
    for kind, number, seconds, about in lines:
        ends[kind] += 1
        if flags.list:
            print(f"END {kind} {number} {seconds:.1f} {about!r}", flush=True)
        elif kind not in good:
            failures.append(f"case {flags.seed}:{number} {kind}\n{about}")
    if flags.list:
        return
    total = sum(ends.values())
    for failure in failures[:SHOWN]:
        print(failure, end="\n\n")
    print(f"{total} cases: " + ", ".join(f"{count} {kind}" for kind, count in ends.most_common()))
    short = [
        f"{kind}: {ends[kind]} of {total}, fewer than {share:.0%}"
        for kind, share in (at_least or {}).items()
        if ends[kind] < share * total
    ]
    print("\n".join(short))
    sys.exit(1 if failures or short else 0)


def _here(one: One, prepare: Callable[[Path], None], flags: argparse.Namespace):
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CNN_JAX_CACHE"] = str(Path(folder) / "cache")
        os.chdir(folder)  # where a relative path of a case may lead
        prepare(Path(folder))
        for number in range(flags.first, flags.first + flags.cases):
            start = time.perf_counter()
            kind, about = one(flags.seed, number, Path(folder))
            yield kind, number, time.perf_counter() - start, about


def _in_processes(module: str, flags: argparse.Namespace):
    """Yield what processes print that have a share of the cases each."""
    share = -(-flags.cases // flags.jobs)
    processes = []
    for job in range(flags.jobs):
        first = flags.first + job * share
        count = min(share, flags.first + flags.cases - first)
        command = [sys.executable, "-m", module, f"--seed={flags.seed}", f"--first={first}"]
        command += [f"--cases={count}", "--list"]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    for process in processes:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("END "):
                _, kind, number, seconds, about = line.split(" ", 4)
                yield kind, int(number), float(seconds), eval(about)
        if process.wait():
            yield "crash", -1, 0.0, f"a process ended with status {process.returncode}"
