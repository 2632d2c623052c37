"""The memory that this process may still take. Standard library only."""

import contextlib
from pathlib import Path

_PROC, _CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def host_memory(proc: Path = _PROC, cgroup: Path = _CGROUP) -> int | None:
    """Return the bytes that are free or can be freed, swap included; None where nobody says.

    The least of what the machine has and of what each control group around the process is
    limited to (a container's limit among them).
    """
    rooms = [room for room in (_machine(proc), *_groups(proc, cgroup)) if room is not None]
    return min(rooms, default=None)


def _machine(proc: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
        lines = (proc / "meminfo").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes["MemAvailable"] + sizes.get("SwapFree", 0)
    return None


def _groups(proc: Path, root: Path) -> list[int | None]:
    """Return the room in each control group that the process is in, version 2 or 1."""
    own = ""
    with contextlib.suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                own = path.strip("/")
    folders = [Path(*Path(own).parts[:count]) for count in range(len(Path(own).parts) + 1)]
    found = [_room(root / folder, "memory.max", "memory.current") for folder in folders]
    old = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    return found + [_room(root / "memory" / folder, *old) for folder in folders]


def _room(folder: Path, limit: str, usage: str) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        most, used = (int((folder / name).read_text()) for name in (limit, usage))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        # Pages of files are given back when memory is short.
        cached = int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))
        return most - used + cached
    return None
