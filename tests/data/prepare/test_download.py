"""Downloads from a server of the test's own: resumed, refused, given up."""

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from cnn_jax.data import sources
from cnn_jax.data.prepare import download
from cnn_jax.data.prepare.download import PIECE, Archive
from cnn_jax.runtime.errors import BadInputError
from tests.data import archives

DATA = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves files; ``drop`` is after how many bytes each of the next answers breaks off."""

    def __init__(self, files: dict[str, bytes]):
        self.files, self.ranges, self.drop = files, True, []
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        name, wanted = self.path.rpartition("/")[2], self.headers.get("Range")
        self.server.asked.append((name, wanted))
        data = self.server.files.get(name)
        if data is None:
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + self.server.drop.pop(0) if self.server.drop else len(data)
        with contextlib.suppress(OSError):
            self.wfile.write(data[start:end])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = Server({"set.bin": DATA})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def archive(server: Server, **other) -> Archive:
    fields = {"size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()} | other
    return Archive(f"{server.base}/set.bin", **fields)


def test_a_file_is_fetched_once(server, tmp_path):
    file = download.fetch(archive(server), tmp_path)
    assert file.read_bytes() == DATA
    assert download.fetch(archive(server), tmp_path) == file
    assert len(server.asked) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["set.bin"]


def test_a_broken_connection_is_continued_where_it_broke(server, tmp_path):
    server.drop = [10 * PIECE + 1, 3 * PIECE]
    assert download.fetch(archive(server), tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted in server.asked] == [
        None,
        f"bytes={10 * PIECE}-",
        f"bytes={13 * PIECE}-",
    ]


def test_what_an_earlier_process_left_is_continued(server, tmp_path):
    (tmp_path / "set.bin.part").write_bytes(DATA[:123])
    assert download.fetch(archive(server), tmp_path).read_bytes() == DATA
    assert server.asked == [("set.bin", "bytes=123-")]


def test_a_server_that_cannot_continue_sends_it_all_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "set.bin.part").write_bytes(DATA[:123])
    assert download.fetch(archive(server), tmp_path).read_bytes() == DATA


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"sha256": "0" * 64}, "its 3,000,000 bytes have another checksum"),
        ({"size": 2_999_999}, None),
    ],
)
def test_a_wrong_checksum_leaves_no_file(server, tmp_path, other, line):
    if line is None:  # the size only sizes the progress bar; the checksum decides
        assert download.fetch(archive(server, **other), tmp_path).read_bytes() == DATA
        return
    with pytest.raises(BadInputError, match=line):
        download.fetch(archive(server, **other), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_dead_server_are_one_line(server, tmp_path, monkeypatch):
    server.files.clear()
    with pytest.raises(BadInputError, match=r"cannot download .*HTTPError.*--from=DIR") as caught:
        download.fetch(archive(server), tmp_path)
    assert "\n" not in str(caught.value)
    server.files["set.bin"] = DATA
    server.drop = [0, PIECE, 0, 0, PIECE + 1]
    with pytest.raises(BadInputError, match="cannot download"):
        download.fetch(archive(server), tmp_path)
    assert (tmp_path / "set.bin.part").read_bytes() == DATA[: 2 * PIECE]  # kept, to be continued
    assert download.fetch(archive(server), tmp_path).read_bytes() == DATA


def test_a_set_is_downloaded_prepared_and_its_archives_removed(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    server.files, parts = archives.mnist()
    archives.publish(monkeypatch, "mnist", server.files, server.base)
    source = sources.load("mnist", None)  # a name is enough
    assert len(source.train) == len(parts["train"][1])
    assert len(server.asked) == 4
    left = {path.name for path in (tmp_path / "cache").rglob("*")}
    assert not any(name.endswith((".gz", ".part")) or name == "downloads" for name in left)
    sources.load("mnist", None)
    assert len(server.asked) == 4
