"""Files of tensors: every type and every wrapping, and a line for what is no network."""

import json
import re
import struct

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer import import_weights
from cnn_jax.transfer.state_dict import read_state_dict
from cnn_jax.transfer.torch_names import naming
from cnn_jax.transfer.weights import convert, read_tensors
from tests.transfer.test_weights import SMALL, random_tensors

VALUES = np.array([[0.0, 1.5, -2.0], [0.0625, 448.0, -0.375]])
NARROW = ("float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "float64")


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]


def written(path, code: str, data: bytes, shape=(2, 3)):
    """Write one tensor as safetensors lays it out, whatever its type."""
    header = {"a": {"dtype": code, "shape": list(shape), "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        ("F8_E4M3", ml_dtypes.float8_e4m3fn),
        ("F8_E5M2", ml_dtypes.float8_e5m2),
        ("F16", np.float16),
        ("BF16", ml_dtypes.bfloat16),
        ("F32", np.float32),
        ("F64", np.float64),
    ],
)
def test_safetensors_of_every_floating_type_are_read_exactly(tmp_path, code, dtype):
    stored = VALUES.astype(dtype)
    tensors = read_state_dict(written(tmp_path / "w.safetensors", code, stored.tobytes()))
    assert tensors["a"].dtype == (np.float64 if code == "F64" else np.float32)
    np.testing.assert_array_equal(tensors["a"], stored.astype(np.float64))


@pytest.mark.parametrize(("code", "size"), [("I8", 1), ("U16", 2), ("BOOL", 1), ("I64", 8)])
def test_safetensors_of_other_types_are_named(tmp_path, code, size):
    path = written(tmp_path / "w.safetensors", code, bytes(6 * size))
    with pytest.raises(BadInputError, match=rf"'a' is a tensor of type {code}; weights are"):
        read_state_dict(path)


def test_names_that_all_begin_alike_lose_the_beginning(tmp_path):
    tensors = random_tensors()
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "model.", "backbone.body."):
        path = tmp_path / "w.safetensors"
        safetensors.numpy.save_file({prefix + key: x for key, x in tensors.items()}, path)
        _, variables = import_weights("resnet20", path, **SMALL)
        bias = variables["params"]["head"]["bias"]
        np.testing.assert_array_equal(bias, tensors["linear.bias"])


def test_two_networks_in_one_file_are_told(tmp_path):
    tensors = random_tensors()
    path = tmp_path / "w.safetensors"
    both = {f"{who}.{key}": x for who in ("student", "teacher") for key, x in tensors.items()}
    safetensors.numpy.save_file(both, path)
    with pytest.raises(BadInputError, match=r"holds 2 networks, at 'student', 'teacher'; save one"):
        import_weights("resnet20", path, **SMALL)


def test_another_networks_names_are_shown(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({f"stages.{i}.w": np.ones(2, np.float32) for i in range(5)}, path)
    line = r"has no tensor 'linear.weight' .* There are 'stages.\d.w', .*, \.\.\.$"
    with pytest.raises(BadInputError, match=line):
        import_weights("resnet20", path)


def test_timms_vgg_has_convolutions_for_dense_layers(tmp_path):
    """pre_logits.fc1 is a convolution of 7x7, fc2 one of 1x1, head.fc the classifier."""
    rng = np.random.default_rng(0)
    layout = naming("vgg11")
    usual = {
        "features.0.weight": rng.normal(size=(2, 3, 3, 3)),
        "classifier.0.weight": rng.normal(size=(4, 5 * 49)),
        "classifier.3.weight": rng.normal(size=(4, 4)),
        "classifier.3.bias": rng.normal(size=4),
        "classifier.6.weight": rng.normal(size=(7, 4)),
    }
    usual = {key: value.astype(np.float32) for key, value in usual.items()}
    theirs = {
        "features.0.weight": usual["features.0.weight"],
        "pre_logits.fc1.weight": usual["classifier.0.weight"].reshape(4, 5, 7, 7),
        "pre_logits.fc2.weight": usual["classifier.3.weight"].reshape(4, 4, 1, 1),
        "pre_logits.fc2.bias": usual["classifier.3.bias"],
        "head.fc.weight": usual["classifier.6.weight"],
    }
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file(theirs, path)
    found = read_tensors(layout, path)
    assert set(found) == set(usual)
    for key, value in usual.items():
        np.testing.assert_array_equal(found[key], value)
    safetensors.numpy.save_file(theirs | {"classifier.6.weight": np.ones((7, 4), "f")}, path)
    with pytest.raises(BadInputError):
        read_tensors(layout, path)


@pytest.mark.slow
def test_a_damaged_safetensors_file_is_read_or_told(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"conv1.weight": VALUES, "fc.weight": VALUES[:1]}, path)
    data = path.read_bytes()
    for place in range(len(data) - VALUES.nbytes - 24):  # the header: the rest is numbers
        path.write_bytes(flipped(data, place))
        one_line_at_most(path)
    for length in range(0, len(data), 3):
        path.write_bytes(data[:length])
        with pytest.raises(BadInputError):
            read_state_dict(path)


def one_line_at_most(path) -> bool:
    """Return whether the file was refused, which has to be by one line that names it."""
    try:
        read_state_dict(path)
        return False
    except BadInputError as error:
        line = str(error)
    assert line.startswith(str(path))
    assert "\n" not in line
    return True


class TestPyTorchFiles:
    """What ``torch.save`` writes."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    @pytest.mark.parametrize("name", NARROW)
    def test_every_floating_type_is_read_exactly(self, torch, tmp_path, name):
        stored = torch.tensor(VALUES).to(getattr(torch, name))
        torch.save({"a": stored}, tmp_path / "w.pth")
        found = read_state_dict(tmp_path / "w.pth")["a"]
        assert found.dtype == (np.float64 if name == "float64" else np.float32)
        expected = VALUES.astype(jnp.dtype(name)).astype(np.float64)
        np.testing.assert_array_equal(found, expected)

    @pytest.mark.parametrize(
        ("kind", "make"),
        [
            ("sparse float32", lambda torch: torch.eye(3).to_sparse()),
            ("sparse float32", lambda torch: torch.eye(3).to_sparse_csr()),
            ("meta float32", lambda torch: torch.empty(2, device="meta")),
            ("quantised qint8", lambda torch: torch.quantize_per_tensor(
                torch.eye(3), 0.1, 0, torch.qint8)),
            ("complex64", lambda torch: torch.ones(2, dtype=torch.complex64)),
            ("int8", lambda torch: torch.ones(2, dtype=torch.int8)),
            ("bool", lambda torch: torch.ones(2, dtype=torch.bool)),
            ("expanded float32", lambda torch: torch.ones(1).expand(10**12)),
        ],
    )  # fmt: skip
    @pytest.mark.filterwarnings("ignore")  # PyTorch's, of formats that are new or going
    def test_tensors_that_are_no_weights_are_named_with_their_type(
        self, torch, tmp_path, kind, make
    ):
        path = tmp_path / "w.pth"
        torch.save({"fc.weight": make(torch)}, path)
        line = rf"^{re.escape(str(path))}: 'fc.weight' is a tensor of type {kind}; weights are .*$"
        with pytest.raises(BadInputError, match=line):
            read_state_dict(path)

    @pytest.mark.parametrize(
        "nested",
        [
            lambda t: {"model": t, "epoch": 3},
            lambda t: {"net": t},
            lambda t: {"model_state_dict": t, "loss": 0.5},
            lambda t: {"state_dict_ema": t, "arch": "resnet20"},
            lambda t: {"checkpoint": {"network": t}},
            lambda t: {"state_dict": t, "same": t},
            lambda t: {"state_dict": {f"module._orig_mod.{k}": x for k, x in t.items()}},
            lambda t: t | {"epoch": 3, "note": "an entry beside the tensors"},
        ],
    )
    def test_a_network_is_found_among_what_a_checkpoint_holds(self, torch, tmp_path, nested):
        weights = {key: torch.tensor(x) for key, x in random_tensors().items()}
        more = {
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "lr": torch.ones(())},
            "rng_state": torch.zeros(8, dtype=torch.uint8),
            "total_ops": torch.zeros(1, dtype=torch.float64),
        }
        content = nested(weights)
        beside = "conv1.weight" in content  # then an entry of integers would be one of its tensors
        torch.save(content if beside else more | content, tmp_path / "w.pth")
        _, variables = import_weights("resnet20", tmp_path / "w.pth", **SMALL)
        bias = variables["params"]["head"]["bias"]
        np.testing.assert_array_equal(bias, random_tensors()["linear.bias"])

    def test_a_network_and_its_running_mean_are_told_apart_by_nobody(self, torch, tmp_path):
        weights = {key: torch.tensor(x) for key, x in random_tensors().items()}
        averaged = {key: 2 * x for key, x in weights.items()}
        path = tmp_path / "w.pth"
        torch.save({"state_dict": weights, "state_dict_ema": averaged}, path)
        with pytest.raises(BadInputError, match=r"2 networks, at 'state_dict', 'state_dict_ema'"):
            import_weights("resnet20", path, **SMALL)
        with pytest.raises(BadInputError, match=r"tensors at 'state_dict', 'state_dict_ema'"):
            read_state_dict(path)

    def test_a_whole_network_or_other_objects_are_named_unopened(self, torch, tmp_path):
        path = tmp_path / "w.pth"
        torch.save(torch.nn.Linear(2, 2), path)
        with pytest.raises(BadInputError, match=r"more than tensors.*torch\..*Linear\); save"):
            read_state_dict(path)
        torch.save({"a": torch.ones(2), "args": np.float64(1)}, path)
        with pytest.raises(BadInputError, match=r"more than tensors.*it has a numpy\S+\); save"):
            read_state_dict(path)

    def test_changed_numbers_of_an_archive_are_told_by_their_checksum(self, torch, tmp_path):
        path = tmp_path / "w.pth"
        torch.save({"fc.weight": torch.full((8, 8), 1.5)}, path)
        data = path.read_bytes()
        place = data.index(np.full(4, 1.5, np.float32).tobytes())
        path.write_bytes(flipped(data, place + 2))
        with pytest.raises(BadInputError, match=r"'w/data/0' is not what its checksum says"):
            read_state_dict(path)

    @pytest.mark.slow
    @pytest.mark.parametrize("zipped", [True, False])
    def test_damaged_files_are_read_or_told(self, torch, tmp_path, zipped):
        path = tmp_path / "w.pth"
        content = {"state_dict": {"fc.weight": torch.ones(4, 4), "fc.bias": torch.ones(4)}}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        data, refused = path.read_bytes(), 0
        for place in range(0, len(data), 3):
            path.write_bytes(flipped(data, place))
            refused += one_line_at_most(path)
        assert refused > 20
        for length in range(0, len(data), 11):
            path.write_bytes(data[:length])
            with pytest.raises(BadInputError):
                read_state_dict(path)


def test_a_misshapen_convolution_for_a_dense_layer_names_both_shapes():
    tensors = random_tensors()
    tensors["linear.weight"] = np.ones((7, 31), np.float32)
    line = r"'linear.weight' \(7, 31\) does not fit resnet20's head/kernel \(32, 7\)"
    with pytest.raises(BadInputError, match=line):
        convert("resnet20", tensors, naming("resnet20"), "memory", **SMALL)
