"""One finished study for all tests that damage, swap or render what it left."""

from pathlib import Path

import pytest

from cnn_jax.ablation import cells, registration
from cnn_jax.ablation.plan import work_out
from tests.ablation import tiny


@pytest.fixture(scope="session")
def left(tmp_path_factory) -> Path:
    """Run the smallest study in this process; return its folder, to be copied by who changes it."""
    folder = tmp_path_factory.mktemp("left") / "study"
    plan = work_out(tiny.brief("smoke"), folder, preset="smoke", command="")
    plan = registration.fix(folder, plan)
    plan.write(folder)
    for cell in plan.cells:
        assert cells.run([cells.request(folder, plan, cell)]) == [cells.DONE]
    return folder
