"""How many steps an epoch count is."""

import pytest

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.schedules import MOST_STEPS, steps_of


@pytest.mark.parametrize(
    ("epochs", "examples", "batch_size", "steps"),
    [
        (1.1, 900, 90, 11),  # 1.1 * 900 is 990.0000000000001
        (2.2, 900, 90, 22),
        (0.07, 100, 7, 1),
        (0.14, 100, 14, 1),
        (1.0, 900, 128, 8),  # the last step is shared with the next epoch
        (0.75, 5, 3, 2),
        (1e-300, 900, 90, 1),
        (3.0, 1294, 64, 61),
    ],
)
def test_epochs_are_counted_as_they_are_written(epochs, examples, batch_size, steps):
    assert steps_of(epochs, examples, batch_size) == steps


def test_more_steps_than_can_be_counted_are_refused():
    assert steps_of(float(MOST_STEPS), 64, 64) == MOST_STEPS
    with pytest.raises(BadInputError, match=r"'train\.epochs' is 1e\+300; .* 2,147,483,647 steps"):
        steps_of(1e300, 64, 64)
