"""How to reach Prometheus, from headers and promtool's file."""

from pathlib import Path

import pytest

from everwarm_cli.errors import CommandError
from everwarm_cli.prometheus.access import Access
from everwarm_cli.prometheus.http_config import access

URL = "https://mimir.example/prometheus"


def written(directory: Path, text: str) -> Path:
    path = directory / "http.yaml"
    path.write_text(text)
    return path


def test_headers_alone_are_enough() -> None:
    assert access(URL, ["X-Scope-OrgID: team", "Authorization:Bearer abc"], None) == Access(
        URL, (("X-Scope-OrgID", "team"), ("Authorization", "Bearer abc"))
    )


def test_the_file_is_promtools(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    config = written(
        tmp_path,
        f"""
authorization: {{credentials_file: {tmp_path}/secret}}
tls_config: {{ca_file: ca.pem, cert_file: me.pem, key_file: me.key}}
http_headers:
  X-Scope-OrgID: {{values: [team], files: [{tmp_path}/secret]}}
""",
    )
    assert access(URL, [], config) == Access(
        URL,
        (("X-Scope-OrgID", "team"), ("X-Scope-OrgID", "hidden"), ("Authorization", "Bearer hidden")),
        Path("ca.pem"),
        (Path("me.pem"), Path("me.key")),
    )


def test_a_user_has_a_password_or_a_file_with_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    for password in ("password: hidden", f"password_file: {tmp_path}/secret"):
        config = written(tmp_path, f"basic_auth: {{username: me, {password}}}")
        assert access(URL, [], config) == Access(URL, user="me", password="hidden")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tls_config: {insecure_skip_verify: true}", "tls_config.insecure_skip_verify: Extra inputs are not permitted"),
        ("tls_config: {cert_file: me.pem}", "tls_config: Value error, cert_file and key_file come together"),
        ("basic_auth: {password: hidden}", "basic_auth.username: Field required"),
        ("- a list", "it: Input should be a valid dictionary"),
        ("a: [", "it is no YAML"),
        ("authorization: {credentials_file: /no/such/file}", "/no/such/file can't be read: No such file or directory"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_without_its_secrets(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        access(URL, [], written(tmp_path, text))
    assert sentence in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_a_missing_file_and_a_header_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--http-config .* can't be read: No such file"):
        access(URL, [], tmp_path / "none.yaml")
    for header in ("X-Scope-OrgID", ": team", "X: a\nY: b"):
        with pytest.raises(CommandError, match="is no header; write 'X-Scope-OrgID: team'"):
            access(URL, [header], None)
