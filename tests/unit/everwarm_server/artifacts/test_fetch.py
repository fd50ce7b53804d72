import io
import socket
import sys
import threading
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from everwarm_server.artifacts import stores
from everwarm_server.artifacts.fetch import fetch
from everwarm_server.errors import ModelError


def files_of(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


class Site:
    """An HTTP server on loopback: pages by path, each (status, headers, body); it notes what was asked."""

    def __init__(self):
        self.pages = {}
        self.asked = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                status, headers, body = site.pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    site = Site()
    yield site
    site.close()


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto, monkeypatch, request):
    """A bucket of this test's own; the environment names the server, as it would in a pod."""
    name = f"b{zlib.crc32(request.node.name.encode())}"
    settings = {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for key, value in settings.items():
        monkeypatch.setenv(key, value)
    boto3.client("s3", endpoint_url=moto, region_name="us-east-1").create_bucket(Bucket=name)
    return name, S3Store(name, endpoint=moto, client_options={"allow_http": True})


def test_a_local_directory_is_used_in_place(tmp_path):
    for uri in (str(tmp_path), tmp_path.as_uri()):
        assert fetch(uri, tmp_path / "cache") == tmp_path
    assert not (tmp_path / "cache").exists()


def test_a_local_path_that_is_no_directory_is_refused(tmp_path):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelError, match=r"names the file .*; name the directory that holds it"):
        fetch(str(tmp_path / "model.onnx"), tmp_path)
    with pytest.raises(ModelError, match="There is no model directory"):
        fetch(str(tmp_path / "missing"), tmp_path)


def test_all_objects_under_a_prefix_are_fetched_in_parts_and_no_others(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "PART_BYTES", 1000)
    name, store = bucket
    weights = bytes(range(256)) * 17
    objects = {"m/d/model.onnx": weights, "m/d/sub/empty": b"", "m/d/x.bin": b"1" * 1000, "m/d2/model.onnx": b"no"}
    for key, content in objects.items():
        obstore.put(store, key, content)
    directory = fetch(f"s3://{name}/m/d/", tmp_path / "cache")
    assert files_of(directory) == {"model.onnx": weights, "sub/empty": b"", "x.bin": b"1" * 1000}
    assert directory.parent == tmp_path / "cache"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [directory.name]


def test_a_second_fetch_downloads_nothing_and_a_changed_model_is_another_entry(bucket, tmp_path, monkeypatch):
    name, store = bucket
    obstore.put(store, "d/model.onnx", b"1")
    first = fetch(f"s3://{name}/d", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(stores.StoreSource, "download", lambda *_: pytest.fail("downloaded again"))
        assert fetch(f"s3://{name}/d", tmp_path) == first
    obstore.put(store, "d/model.onnx", b"2")
    second = fetch(f"s3://{name}/d", tmp_path)
    assert (files_of(first), files_of(second)) == ({"model.onnx": b"1"}, {"model.onnx": b"2"})


@pytest.mark.parametrize(
    ("key", "content", "files"),
    [
        ("a/resnet.onnx", b"1", {"model.onnx": b"1"}),
        ("a/m.zip", zipped(m__model_dot_onnx=b"1", m__w=b"2"), {"model.onnx": b"1", "w": b"2"}),
    ],
)
def test_one_object_may_be_a_model_file_or_an_archive(bucket, tmp_path, key, content, files):
    name, store = bucket
    obstore.put(store, key, content)
    assert files_of(fetch(f"s3://{name}/{key}", tmp_path)) == files


def test_an_object_that_changes_during_the_download_is_refused(bucket, tmp_path):
    name, store = bucket
    obstore.put(store, "d/model.onnx", b"1")
    source = stores.open_source(stores.ModelUri("", f"s3://{name}/d", "s3", name, "d"))
    obstore.put(store, "d/model.onnx", b"2")
    with pytest.raises(ModelError, match="can't be read: Request precondition failure"):
        source.download(tmp_path, 10)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("{}/nothing", "There is nothing at s3://.*/nothing."),
        ("{}", "There is nothing at s3://"),
        ("{}/big", "has 11 bytes, more than the limit of 10"),
        ("{}/odd", "holds a file named 'a.*b', which would leave its directory"),
        ("no-such-bucket/x", "can't be read: .*404 Not Found"),
        ("{}/a/../b", "can't be read: "),
    ],
)
def test_what_can_not_be_fetched_is_named_in_one_line(bucket, tmp_path, path, sentence):
    name, store = bucket
    if "/big" in path:
        obstore.put(store, "big/model.onnx", b"1" * 11)
    if "/odd" in path:
        obstore.put(store, "odd/a\\b", b"1")
    with pytest.raises(ModelError, match=sentence) as caught:
        fetch(f"s3://{path.format(name)}", tmp_path, max_bytes=10)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "everwarm_server.artifacts.stores", raising=False)
    monkeypatch.delattr("everwarm_server.artifacts.stores")
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ModelError, match=r"s3://b/m needs the package obstore, .*pip install 'everwarm\[store\]'"):
        fetch("s3://b/m", tmp_path)


ZIP = zipped(model_dot_onnx=b"1")


@pytest.mark.parametrize(
    ("path", "body", "files"),
    [
        ("/m/resnet.onnx", b"1", {"model.onnx": b"1"}),
        ("/m.pt2", b"", {"model.pt2": b""}),
        ("/m.zip", ZIP, {"model.onnx": b"1"}),
        ("/m.zip?sig=secret", ZIP, {"model.onnx": b"1"}),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"ETag": '"1"'}, {"Last-Modified": "Tue, 24 Nov 2026 18:00:00 GMT"}])
def test_a_file_or_archive_of_the_web_becomes_a_directory(site, tmp_path, path, body, files, headers):
    site.pages[path] = (200, headers, body)
    directory = fetch(site.url + path, tmp_path)
    assert files_of(directory) == files
    assert fetch(site.url + path, tmp_path) == directory
    assert [p.name for p in tmp_path.iterdir()] == [directory.name]


@pytest.mark.parametrize("headers", [({"ETag": '"1"'}, {"ETag": '"2"'}), ({}, {})])
def test_a_changed_file_of_the_web_is_another_entry(site, tmp_path, headers):
    directories = []
    for header, body in zip(headers, (b"1", b"2"), strict=True):
        site.pages["/m.onnx"] = (200, header, body)
        directories.append(fetch(f"{site.url}/m.onnx", tmp_path))
    assert [files_of(directory) for directory in directories] == [{"model.onnx": b"1"}, {"model.onnx": b"2"}]


def test_a_redirect_is_followed(site, tmp_path):
    site.pages["/a.onnx"] = (302, {"Location": "/b"}, b"")
    site.pages["/b"] = (200, {}, b"1")
    assert files_of(fetch(f"{site.url}/a.onnx", tmp_path)) == {"model.onnx": b"1"}
    assert site.asked == ["/a.onnx", "/b"]


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ((404, {}, b""), "the host answered 404 Not Found"),
        ((500, {}, b"details"), "the host answered 500 Internal Server Error"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "the host answered 302"),
        ((302, {"Location": "ftp://127.0.0.1/x"}, b""), "can't be read"),
        ((302, {"Location": "/m.onnx"}, b""), "the host answered 302"),
        ((200, {"Content-Length": "5"}, b"123"), "broke off after 3 of 5 bytes"),
        ((200, {}, b"1" * 11), "is larger than the limit of 10 bytes"),
        ((200, {"Content-Length": str(2**62)}, b""), "needs 4611686018427387904 bytes, but the cache"),
    ],
)
def test_an_answer_that_is_no_model_is_named_without_its_signature(site, tmp_path, page, sentence):
    site.pages["/m.onnx?sig=secret"] = site.pages["/m.onnx"] = page
    with pytest.raises(ModelError, match=sentence) as caught:
        fetch(f"{site.url}/m.onnx?sig=secret", tmp_path, max_bytes=10)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/m.txt", b"1", "ends in 'm.txt'; a single file must end in one of .onnx, .pt2, .pt, .skops, .py, .tar,"),
        ("/m.zip", zipped(), "The archive m.zip is empty"),
        ("/m.zip", b"1", "The archive m.zip is broken"),
    ],
)
def test_a_file_that_is_no_model_is_named(site, tmp_path, path, body, sentence):
    site.pages[path] = (200, {}, body)
    with pytest.raises(ModelError, match=sentence):
        fetch(site.url + path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_is_not_there_is_named(tmp_path):
    with socket.socket() as bound_and_not_listening:
        bound_and_not_listening.bind(("127.0.0.1", 0))
        port = bound_and_not_listening.getsockname()[1]
        with pytest.raises(ModelError, match=r"can't be read: .*refused"):
            fetch(f"http://127.0.0.1:{port}/m.onnx", tmp_path)
