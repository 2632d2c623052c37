"""The platforms that JAX computes on: what it says where there is none that was asked for."""

import os
import sys

ASKED = "JAX_PLATFORMS"


def missing() -> str | None:
    """Return the line for a ``JAX_PLATFORMS`` that names no device of this machine; else None.

    JAX's own exception may be an assertion without words, so JAX is asked again. None too as long
    as the program has not imported it.
    """
    jax, asked = sys.modules.get("jax"), os.environ.get(ASKED)
    if jax is None or not asked:
        return None
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        said = next(iter(str(error).splitlines()), "")
        reason = f" ({said.partition(' (set ')[0]})" if said else ""
        return (
            f"{ASKED} is {asked!r} and JAX finds no such device here{reason}; "
            f"take {ASKED}=cpu, or unset it to let JAX choose"
        )
    return None
