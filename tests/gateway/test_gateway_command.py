"""`triton-asr gateway` and `triton-asr gateway-key` as users run them, without a server behind."""

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import gateway_service
import openai
import pytest

NOBODY = "127.0.0.1:9"  # the port of discard, where nobody listens
COMMAND = [sys.executable, "-m", "triton_asr"]


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def get(url: str, key: str = "") -> tuple[int, Any]:
    """The status of an answer, and its JSON."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def new_key(file: Path, name: str) -> str:
    done = run("gateway-key", name, "--keys", file)
    assert done.returncode == 0, done.stderr
    assert "SIGHUP" in done.stderr
    return done.stdout.strip()


def test_a_gateway_without_a_server_says_so_and_stops_well() -> None:
    with gateway_service.running(NOBODY, "--max-wait", "0.5") as gateway:
        assert "no models yet" in gateway.ready
        assert get(f"{gateway.url}/health/live")[0] == 200
        assert get(f"{gateway.url}/health")[0] == 503
        status, answer = get(f"{gateway.api}/models")
        assert (status, answer["error"]["code"]) == (503, "server_unavailable")
        assert "127.0.0.1" not in answer["error"]["message"]
        gateway.process.terminate()
        assert gateway.process.wait(60) == 0


def test_an_idle_connection_stays_open_longer_than_clients_keep_theirs() -> None:
    with gateway_service.running(NOBODY, "--max-wait", "0.5") as gateway:
        connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
        for idle_s in (7, 0):  # OpenAI's SDK keeps one for 5 s
            connection.request("GET", "/health/live")
            with connection.getresponse() as answer:
                assert (answer.status, answer.read()) == (200, b'{"status":"live"}')
            time.sleep(idle_s)
        connection.close()


def test_a_server_that_is_away_is_an_error_of_the_sdk() -> None:
    with (
        gateway_service.running(NOBODY, "--max-wait", "0.5") as gateway,
        openai.OpenAI(base_url=gateway.api, api_key="any", max_retries=0) as sdk,
        pytest.raises(openai.InternalServerError) as away,
    ):
        sdk.audio.transcriptions.create(file=("a.wav", b"RIFF"), model="asr")
    assert (away.value.status_code, away.value.code) == (503, "server_unavailable")
    assert str(away.value.request_id).startswith("req_")
    assert int(away.value.response.headers["retry-after"]) > 0


def test_keys_are_read_again_after_sighup(tmp_path: Path) -> None:
    alice = new_key(tmp_path / "keys", "alice")
    with gateway_service.running(NOBODY, "--max-wait", "0.5", "--keys", tmp_path / "keys") as gateway:
        bob = new_key(tmp_path / "keys", "bob")
        url = f"{gateway.api}/nothing"
        assert [get(url, key)[0] for key in ("", bob, alice)] == [401, 401, 404]
        gateway.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while get(url, bob)[0] == 401:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keys", "nowhere"], "cannot read the keys in nowhere"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:8080"),
        (["--https-cert", "a.pem"], "go together"),
        (["--alias", "=asr"], "needs NAME or NAME=MODEL"),
        (["--port", "0", "-u", "http://localhost:8001"], "localhost:8001"),
    ],
)
def test_a_wrong_option_is_one_line_about_it(arguments: list[str], said: str) -> None:
    done = run("gateway", *arguments)
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("nothing")
    files = ("--https-cert", tmp_path / "cert.pem", "--https-key", tmp_path / "key.pem")
    done = run("gateway", "--port", "0", "-u", NOBODY, *files)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot use the certificate" in done.stderr


def test_a_name_that_is_none(tmp_path: Path) -> None:
    done = run("gateway-key", "two words", "--keys", tmp_path / "keys")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("triton-asr: error: the name is")
