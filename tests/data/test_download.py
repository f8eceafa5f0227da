"""download_cifar against a server on this machine: whole, resumed, cut, altered, and every way that it can fail."""

import hashlib
import http.server
import resource
import socket
import tarfile
import threading

import pytest
from data_samples import make_archive, snapshot

from minisk.data import download, load_cifar
from minisk.data.download import download_cifar
from minisk.errors import DataError

ARCHIVE = "cifar-10-binary.tar.gz"
PARTIAL = f".{ARCHIVE}.partial"


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content``. ranges: whether it knows Range. sent: how many bytes it sends before it breaks off."""

    daemon_threads = True
    content, ranges, sent, status, shift = b"", True, None, 200, 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.asked = []  # what was asked for: path and Range


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers["Range"]
        server.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and server.ranges else 0
        start += server.shift if start else 0
        status = server.status if start == 0 else 206
        if start and start >= len(server.content):
            status, body = 416, b""
        else:
            body = server.content[start:]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.end_headers()
        self.wfile.write(body[: server.sent])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of an archive, small but of the real layout, that passes for the official one."""
    source = tmp_path / "source"
    source.mkdir()
    folder, _ = make_archive(source)
    with tarfile.open(
        source / ARCHIVE, "w:gz", compresslevel=0
    ) as archive:  # with Python's extended headers for the times
        archive.add(folder, folder.name)
    with Server() as running:
        running.content = (source / ARCHIVE).read_bytes()
        digest = hashlib.md5(running.content).hexdigest()
        monkeypatch.setitem(download.ARCHIVES, "cifar10", (download.ARCHIVES["cifar10"][0], digest))
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    def fetch():
        return download_cifar("cifar10", tmp_path / "data", base_url=server.url, progress=False)

    return fetch


def test_the_archive_is_fetched_checked_and_unpacked_once(server, fetch, tmp_path):
    folder = fetch()
    assert folder == tmp_path / "data" / "cifar-10-batches-bin"
    assert snapshot(folder) == snapshot(tmp_path / "source" / folder.name)
    assert len(load_cifar("cifar10", tmp_path / "data", "train")) == 10
    assert sorted(path.name for path in folder.parent.iterdir()) == ["cifar-10-batches-bin", ARCHIVE]
    assert fetch() == folder
    assert server.asked == [(f"/{ARCHIVE}", None)]


def test_an_archive_that_is_there_needs_no_network(server, fetch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ARCHIVE).write_bytes(server.content)
    assert len(load_cifar("cifar10", fetch(), "test")) == 2
    assert server.asked == []


def test_a_broken_connection_is_an_error_and_the_next_try_continues_from_there(server, fetch, tmp_path):
    server.sent = 1000
    with pytest.raises(
        DataError, match=rf"connection ended after 1000 of {len(server.content)} bytes; the next attempt continues"
    ):
        fetch()
    assert snapshot(tmp_path / "data") == {PARTIAL: server.content[:1000]}
    server.sent = 700
    with pytest.raises(DataError, match="connection ended after 1700 of"):
        fetch()
    server.sent = None
    assert len(load_cifar("cifar10", fetch(), "test")) == 2
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000-", "bytes=1700-"]
    assert not (tmp_path / "data" / PARTIAL).exists()


@pytest.mark.parametrize(
    ("ranges", "rest", "asked"),
    [
        (False, lambda content: content[:1000], ["bytes=1000-"]),  # the server sends all: the rest is overwritten
        (True, lambda content: content, ["bytes={size}-"]),  # whole, but never renamed
        (True, lambda content: content + b"more", ["bytes={longer}-", None]),  # longer than the file: not of this file
        (True, lambda content: b"other" + content[5:1000], ["bytes=1000-", None]),  # of another file
        (True, lambda content: b"", [None]),
    ],
)
def test_a_partial_file_is_used_if_it_is_right_and_replaced_if_not(server, fetch, tmp_path, ranges, rest, asked):
    server.ranges = ranges
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / PARTIAL).write_bytes(rest(server.content))
    assert len(load_cifar("cifar10", fetch(), "test")) == 2
    size = len(server.content)
    assert [wanted for _, wanted in server.asked] == [a and a.format(size=size, longer=size + 4) for a in asked]


def test_a_rest_from_another_place_is_noticed_and_all_is_fetched_anew(server, fetch, tmp_path):
    server.shift = 7
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / PARTIAL).write_bytes(server.content[:1000])
    assert len(load_cifar("cifar10", fetch(), "test")) == 2
    assert [wanted for _, wanted in server.asked] == ["bytes=1000-", None]


def test_an_altered_archive_is_removed(server, fetch, tmp_path):
    server.content = server.content[:-1] + b"?"
    with pytest.raises(DataError, match=r"has MD5 [0-9a-f]{32}, expected [0-9a-f]{32}: .*; it was removed"):
        fetch()
    assert snapshot(tmp_path / "data") == {}
    assert len(server.asked) == 1


def test_an_altered_archive_on_disk_is_an_error_and_stays_unchanged(server, fetch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ARCHIVE).write_bytes(b"mine")
    with pytest.raises(DataError, match=r"has MD5 .*: remove it to have it downloaded again"):
        fetch()
    assert snapshot(tmp_path / "data") == {ARCHIVE: b"mine"}
    assert server.asked == []


def test_an_endless_file_is_cut_off(server, fetch, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="is larger than 1000 bytes"):
        fetch()
    assert snapshot(tmp_path / "data") == {}


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_error_of_the_server_is_reported_and_keeps_what_is_there(server, fetch, tmp_path, status):
    server.status = status
    server.ranges = False
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / PARTIAL).write_bytes(server.content[:1000])
    with pytest.raises(
        DataError, match=rf"cannot download {server.url}{ARCHIVE}: HTTP Error {status}: .*1000 bytes are kept"
    ):
        fetch()
    assert snapshot(tmp_path / "data") == {PARTIAL: server.content[:1000]}


def test_a_server_that_is_not_there_is_an_error(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but no server listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        with pytest.raises(DataError, match=r"cannot download .*Connection refused"):
            download_cifar("cifar100", tmp_path, base_url=url, progress=False)
    assert snapshot(tmp_path) == {}


def test_a_server_that_says_nothing_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(DataError, match=r"cannot download .*timed out"):
            download_cifar("cifar10", tmp_path, base_url=url, progress=False)


@pytest.mark.parametrize("url", ["file:///etc/", "ftp://127.0.0.1/", "/etc/"])
def test_an_address_that_is_not_of_the_web_is_refused(tmp_path, url):
    with pytest.raises(DataError, match="expected an address with http:// or https://"):
        download_cifar("cifar10", tmp_path, base_url=url)


def test_a_full_disk_is_an_error(server, fetch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / PARTIAL).symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left on device"):
        fetch()
    assert not (tmp_path / "data" / ARCHIVE).exists()


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing_half_unpacked(server, fetch, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ARCHIVE).write_bytes(server.content)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))  # a batch has 6,146 bytes
    try:
        with pytest.raises(DataError, match=r"was not unpacked: .*File too large"):
            fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert snapshot(tmp_path / "data") == {ARCHIVE: server.content}
    assert len(load_cifar("cifar10", fetch(), "test")) == 2


def test_a_folder_that_lacks_a_file_is_an_error_and_stays_unchanged(server, fetch, tmp_path):
    (fetch() / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"cifar-10-batches-bin lacks data_batch_3\.bin: move that folder away"):
        fetch()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError, match=r"cannot write cifar10 to .*Not a directory|cannot write cifar10 to .*File exists"
    ):
        download_cifar("cifar10", tmp_path / "file")


def test_what_is_not_published_is_refused(tmp_path):
    with pytest.raises(DataError, match="'mnist' is not published, expected 'cifar10' or 'cifar100'"):
        download_cifar("mnist", tmp_path)


def test_the_bar_counts_from_where_the_download_goes_on(server, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / PARTIAL).write_bytes(server.content[:-1])
    download_cifar("cifar10", tmp_path / "data", base_url=server.url)
    assert f"{ARCHIVE}: 100%" in capsys.readouterr().err
