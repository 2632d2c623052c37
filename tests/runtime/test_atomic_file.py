"""Files are written whole or not at all."""

import pytest

from cnn_jax.runtime.atomic_file import written


def test_a_file_is_replaced_at_the_end_or_left_as_it_was(tmp_path):
    file = tmp_path / "picture.png"
    with written(file) as temporary:
        temporary.write_text("one")
        assert not file.exists()
        assert temporary.suffix == ".png"
    assert file.read_text() == "one"

    def fail():
        with written(file) as temporary:
            temporary.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["one"]
