"""The page's files, as a browser gets them."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from asr_gateway.app import GatewayOptions
from asr_gateway.keys import add
from gateway_app import Service, service

FOLDER = Path(str(files("asr_gateway"))) / "page"
SAMPLES = Path(__file__).parents[2] / "demo" / "samples"
NAMES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())


def policy(answer: Any) -> dict[str, str]:
    """The content security policy: what may be loaded, by kind."""
    rules = (rule.strip().partition(" ") for rule in answer.headers["content-security-policy"].split(";"))
    return {kind: sources for kind, _, sources in rules}


def test_the_page_is_at_the_root(called: Service) -> None:
    answer = called.http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.content == (FOLDER / "index.html").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_file_comes_as_what_it_is(called: Service, name: str) -> None:
    answer = called.http.get(f"/page/{name}")
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert policy(answer)["default-src"] == "'none'"


def test_what_the_files_name_is_there() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in FOLDER.iterdir() if path.suffix in (".html", ".js"))
    named = re.findall(r'(?:href|src)="page/([^"]+)"|(?:from|import|URL\() ?"(?:\./)?([\w-]+\.js)"', texts)
    samples = {f"samples/{name}" for name in re.findall(r'data-sample="([^"]+)"', texts)}
    assert {first or second for first, second in named} | samples | {"index.html"} == set(NAMES)


def test_the_files_name_no_other_host() -> None:
    for name in NAMES:
        if not name.startswith("samples/"):
            hosts = re.findall(r"https?://[\w.]+", (FOLDER / name).read_text(encoding="utf-8"))
            assert set(hosts) <= {"http://www.w3.org"}, name  # SVG's namespace


def test_the_files_are_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in NAMES if name.startswith("samples/")) < 300_000
    assert sum((FOLDER / name).stat().st_size for name in NAMES if not name.startswith("samples/")) < 100_000


def test_the_samples_are_recordings_of_the_demo_and_no_links() -> None:
    """An archive of the sources, and Git where it makes no links, has a link's path in its place."""
    for path in (FOLDER / "samples").iterdir():
        assert not path.is_symlink()
        assert path.read_bytes() == (SAMPLES / path.name).read_bytes()


def test_nothing_may_be_loaded_from_elsewhere(called: Service) -> None:
    rules = policy(called.http.get("/", headers={"host": "localhost:8080"}))
    assert rules.pop("media-src") == "blob:"
    assert rules.pop("img-src") == "'self' data:"
    assert rules.pop("connect-src") == "'self' ws://localhost:8080 wss://localhost:8080"
    assert set(rules.values()) == {"'none'", "'self'"}
    assert {"frame-ancestors", "base-uri", "form-action", "default-src"} == {
        kind for kind, sources in rules.items() if sources == "'none'"
    }


def test_a_made_up_host_is_not_in_the_policy() -> None:
    with service(options=GatewayOptions(hosts=["*"])) as called:
        for host in ("a; script-src *", "a *", "a,b", "'unsafe-inline'"):
            assert policy(called.http.get("/", headers={"host": host}))["connect-src"] == "'self'"
        assert "ws://[::1]:80 " in policy(called.http.get("/", headers={"host": "[::1]:80"}))["connect-src"]


def test_what_a_browser_has_is_not_sent_again(called: Service) -> None:
    first = called.http.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = called.http.get("/page/main.js", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "content-security-policy" in again.headers
    assert called.http.get("/page/main.js", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/page/", "/page/nothing.js", "/page/../app.py", "/page/%2e%2e/app.py", "/page/samples"]
)
def test_nothing_else_is_served(called: Service, path: str) -> None:
    answer = called.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


def test_the_page_needs_no_key_and_knows_that_calls_do(tmp_path: Path) -> None:
    add(tmp_path / "keys", "alice")
    with service(keys=tmp_path / "keys") as called:
        assert called.http.get("/").status_code == 200
        assert called.http.get("/page/main.js").status_code == 200
        assert called.http.get("/page/settings.json").json() == {"needs_key": True}
        assert called.http.get("/v1/models").status_code == 401


def test_without_keys_none_is_needed(called: Service) -> None:
    assert called.http.get("/page/settings.json").json() == {"needs_key": False}


def test_the_default_model_is_the_first_of_the_list() -> None:
    for default in ("asr", "whisper"):
        with service(options=GatewayOptions(default_model=default)) as called:
            assert called.http.get("/v1/models").json()["data"][0]["id"] == default
