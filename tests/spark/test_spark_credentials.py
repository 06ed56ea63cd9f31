"""Headers and TLS come from the executors' files and environment, and no message shows a header's value."""

from pathlib import Path

import pytest
from asr_client import InvalidOption, Tls
from asr_spark import worker
from asr_spark.credentials import CredentialFiles, credentials
from asr_spark.worker import Settings

SECRET = "Bearer s3cret"


def test_there_are_none_by_default() -> None:
    access = credentials(CredentialFiles(), {})
    assert (access.tls, access.headers) == (None, ())


def test_headers_of_the_environment() -> None:
    access = credentials(CredentialFiles(), {"TRITON_ASR_HEADERS": f"authorization: {SECRET}\n\nx-team: a:b\n"})
    assert access.headers == (("authorization", SECRET), ("x-team", "a:b"))


def test_a_file_of_headers_goes_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text(f"authorization: {SECRET}\n")
    access = credentials(CredentialFiles(headers=str(tmp_path / "headers")), {"TRITON_ASR_HEADERS": "a: b"})
    assert access.headers == (("authorization", SECRET),)


@pytest.mark.parametrize("text", ["s3cret", "Bearer s3cret: x", ": s3cret"])
def test_a_line_that_is_no_header_is_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text(text)
    with pytest.raises(InvalidOption, match="line 1 of .*headers is no header") as caught:
        credentials(CredentialFiles(headers=str(tmp_path / "headers")), {})
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="cannot read headersFile /nowhere on this executor: No such file"):
        credentials(CredentialFiles(headers="/nowhere"), {})


def test_the_text_of_credentials_shows_no_header() -> None:
    assert "s3cret" not in repr(credentials(CredentialFiles(), {"TRITON_ASR_HEADERS": f"authorization: {SECRET}"}))


def test_tls(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.touch()
    assert credentials(CredentialFiles(tls=True), {}).tls == Tls()
    assert credentials(CredentialFiles(), {"TRITON_ASR_TLS": "1"}).tls == Tls()
    assert credentials(CredentialFiles(), {"TRITON_ASR_TLS_CA": str(pem)}).tls == Tls(ca_file=str(pem))
    files = CredentialFiles(tls_cert=str(pem), tls_key=str(pem))
    assert credentials(files, {}).tls == Tls(cert_file=str(pem), key_file=str(pem))


def test_a_flag_that_is_none() -> None:
    with pytest.raises(InvalidOption, match="TRITON_ASR_TLS is 'maybe'; needs 1 or 0"):
        credentials(CredentialFiles(), {"TRITON_ASR_TLS": "maybe"})


def test_a_process_keeps_its_client_until_the_credentials_change(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("authorization: one")
    settings = Settings(urls=("127.0.0.1:1",), files=CredentialFiles(headers=str(file)))
    first = worker.shared_client(settings)
    assert worker.shared_client(settings) is first
    file.write_text("authorization: two")
    assert worker.shared_client(settings) is not first
