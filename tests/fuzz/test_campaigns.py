"""Three hundred random configs and three hundred damaged files, the same ones every time."""

import subprocess
import sys

import pytest

from tests.fixtures import environment


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "first", "cases"), [("fields", 0, 150), ("fields", 150, 150), ("files", 0, 300)]
)
def test_no_traceback_no_hang_no_other_number(module, first, cases):
    command = [sys.executable, "-m", f"tests.fuzz.{module}", f"--first={first}", f"--cases={cases}"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), check=False, timeout=1800
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert f"{cases} cases: " in done.stdout
