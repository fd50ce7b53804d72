from pathlib import Path

import pytest

from everwarm_server.artifacts.uri import ModelUri, parse
from everwarm_server.errors import ModelError


@pytest.mark.parametrize(
    ("text", "parsed", "name"),
    [
        ("/models/digits", ModelUri("/models/digits", "/models/digits", "file", "", "/models/digits"), "digits"),
        ("/models/m/", ModelUri("/models/m/", "/models/m/", "file", "", "/models/m"), "m"),
        ("file:///m/a%20b", ModelUri("file:///m/a%20b", "file:///m/a%20b", "file", "", "/m/a b"), "a b"),
        ("file://localhost/m", ModelUri("file://localhost/m", "file://localhost/m", "file", "", "/m"), "m"),
        ("s3://b/k/m", ModelUri("s3://b/k/m", "s3://b/k/m", "s3", "b", "k/m"), "m"),
        ("s3://b/k/m/", ModelUri("s3://b/k/m/", "s3://b/k/m/", "s3", "b", "k/m/"), "m"),
        ("gs://b", ModelUri("gs://b", "gs://b", "gs", "b", ""), "b"),
        ("az://c/m", ModelUri("az://c/m", "az://c/m", "az", "c", "m"), "m"),
        (
            "https://h:1/d/m.zip?sig=secret",
            ModelUri("https://h:1/d/m.zip?sig=secret", "https://h:1/d/m.zip", "https", "h:1", "d/m.zip"),
            "m.zip",
        ),
    ],
)
def test_a_uri_has_its_parts(text, parsed, name):
    assert parse(text) == parsed
    assert parse(f" {text}\n").name == name


def test_a_relative_path_is_one_of_the_working_directory():
    assert parse("models/m").path == str(Path.cwd() / "models" / "m")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The model URI is empty; it must be a path, file://, s3://, gs://, az://, http:// or https://."),
        ("/m\0", "holds a character that can't be printed."),
        ("ftp://h/m", "has the scheme 'ftp'; it must be a path, file://"),
        ("hf://org/m", "has the scheme 'hf'; it must be"),
        ("s3:///key", "names no bucket."),
        ("https:///m", "names no host."),
        ("file://host/m", "must have three slashes and an absolute path: file:///models/m."),
        ("file://m", "must have three slashes"),
        ("https://[::1/m", "is not a URI"),
        ("https://h/m?sig=secret#//[", None),
    ],
)
def test_a_mistake_is_named_and_no_secret_with_it(text, sentence):
    if sentence is None:
        assert "secret" not in parse(text).shown
        return
    with pytest.raises(ModelError) as caught:
        parse(text)
    assert sentence in str(caught.value)


def test_credentials_in_a_uri_are_refused_and_not_repeated():
    with pytest.raises(ModelError) as caught:
        parse("https://user:secret@h/m")
    assert str(caught.value) == ("The model URI holds a user or password; give credentials by the environment instead.")
