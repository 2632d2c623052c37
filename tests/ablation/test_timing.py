"""Measured step time: of the step that trains, in turns, as a ratio."""

import pytest
from jax.experimental import io_callback

from cnn_jax.ablation import timing
from cnn_jax.ablation.counting import Data
from cnn_jax.train.setup import Setup
from tests.ablation import tiny


@pytest.fixture(scope="module")
def data() -> Data:
    return Data.load(tiny.config())


class Clock:
    """A clock that only steps move; and which ones they were."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Replace the clock, and count the steps that are really run: a second for each hidden unit."""
    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    real = Setup.train_step

    def counted(setup):
        step = real(setup)
        width = setup.module.hidden[0]

        def tell(loss) -> None:
            made.calls.append(width)
            made.now += width

        def wrapped(state, batch):
            state, measured = step(state, batch)
            io_callback(tell, None, measured.loss, ordered=True)
            return state, measured

        return wrapped

    monkeypatch.setattr(Setup, "train_step", counted)
    return made


def of_width(width: int):
    config = tiny.config()
    config.model.hidden = (width,)
    return config


def test_the_ratio_is_that_of_the_training_steps_taken_in_turns(data, clock):
    ratio = timing.step_time_ratio(of_width(8), data)
    assert ratio(of_width(24)) == pytest.approx(3.0)
    assert clock.calls[-2 * timing.ROUNDS :] == [24, 8] * timing.ROUNDS
    assert ratio(of_width(4)) == pytest.approx(0.5)
