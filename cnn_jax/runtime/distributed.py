"""Many processes, one run: joining, and leaving when another one has gone."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

import jax

from cnn_jax.runtime.errors import BadInputError, first_line
from cnn_jax.runtime.failures import failure

# A process that is silent for so long is given up by the others.
HEARTBEAT_SECONDS = 30


def start(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    detect: bool = False,
) -> None:
    """Join the other processes of this run, if there are any; before anything uses a device.

    Args:
        coordinator: HOST:PORT at which process 0 listens; with the next two, or none of them.
        processes: how many there are.
        process: which one this is.
        detect: ask the surroundings (TPU pod, Kubernetes, SLURM, Open MPI) for the three; SLURM
            steps, Open MPI and TPU workers of several tasks are recognised without it.

    Raises:
        BadInputError: some of the three are missing, or the surroundings do not tell them.
    """
    given = {"--coordinator": coordinator, "--processes": processes, "--process": process}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise BadInputError(f"{missing[0]} is missing; it goes with {', '.join(given)}")
    if missing and not detect and not in_cluster(os.environ):
        return
    if coordinator is not None and not _is_address(coordinator):
        raise BadInputError(
            f"--coordinator is {coordinator!r}; it has to be HOST:PORT, such as 10.0.0.1:8476"
        )
    if process is not None and processes is not None and not 0 <= process < processes:
        raise BadInputError(f"--process={process}: it has to be in 0 ... {processes - 1}")
    jax.config.update("jax_enable_preemption_service", True)
    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except (ValueError, RuntimeError) as error:
        line = first_line(error)
        raise BadInputError(
            f"the processes did not find together ({line}); name them by {', '.join(given)}"
        ) from None


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    if not host or host.split() != [host] or (":" in host and host[0] != "["):  # IPv6: [::1]:80
        return False
    return port.isdecimal() and len(port) < 6 and 0 < int(port) < 1 << 16


def in_cluster(environment: Mapping[str, str]) -> bool:
    """Return whether the environment is that of one of several tasks."""
    slurm = "SLURM_STEP_NODELIST" in environment and "SLURM_PROCID" in environment
    tasks = [environment.get("SLURM_NTASKS", "1")] if slurm else []
    tasks.append(environment.get("OMPI_COMM_WORLD_SIZE", "1"))
    hosts = environment.get("TPU_WORKER_HOSTNAMES", "").split(",")
    return any(int(n) > 1 for n in tasks) or len(hosts) > 1


def is_first() -> bool:
    """Return whether this process is the one that prints and writes."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Wait until every process is here; ``name`` is the same for all."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def stop_agreed(asked: bool, dispatch: int) -> bool:
    """Return whether all processes stop after this dispatch, the ``dispatch``-th of this process.

    ``asked``: this process was told to stop. With several processes the notice of one reaches the
    others, and all of them stop after the same dispatch.
    """
    if jax.process_count() == 1:
        return asked
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(dispatch)


@contextlib.contextmanager
def ends_with_the_others() -> Iterator[None]:
    """End this process when what it shares with the others fails: they are not there any more.

    It ends at once: saving and closing would wait for those who have gone.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        if (found := failure(error)) is not None:  # of this machine: the others have not gone yet
            line = found.line
        else:
            line = f"another process of this run has ended ({first_line(error)})"
        line = f"cnn-jax: {line}; start all of them again to continue"
        print(line, file=sys.stderr, flush=True)
        os._exit(1)
