"""A running Triton server as a context manager."""

import contextlib
import http.client
import json
import os
import re
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from asr_server import caches, engines, guard, installation
from asr_server.errors import (
    OptionError,
    PortInUseError,
    RepositoryError,
    ServerDiedError,
    StartTimeoutError,
    TritonServerError,
)
from asr_server.log import LogHook, LogReader, errors, model_failures, says_port_taken, to_stderr
from asr_server.ports import Ports, reserve

_BIND_ATTEMPTS = 5
# Defaults; the caller's environment takes precedence. glibc gives threads heaps of their own, up to eight for each
# core, and the memory that an overload leaves in them does not return to the system.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "2"}
# Triton's words for a model that does not load -> what to do.
_CURES = {
    "at least one version must be available": (
        "the model is a configuration without a graph: `triton-asr export` makes whole models"
    ),
    "but no GPUs are available": (
        "the model was exported with --gpu: serve it on a machine with a GPU and NVIDIA's driver, where `nvidia-smi` "
        "lists the GPU, or export it without --gpu"
    ),
}
_UNLOAD_TIMEOUT_S = 10.0  # time for Triton to end after it stops waiting for requests; then the guard kills it
# Options of tritonserver that this package sets; a second value would make the attributes of TritonServer wrong.
_OURS = {
    "--model-repository": "repository",
    "--model-store": "repository",
    "--http-address": "host",
    "--grpc-address": "host",
    "--metrics-address": "host",
    "--http-port": "http_port",
    "--grpc-port": "grpc_port",
    "--metrics-port": "metrics_port",
    "--exit-timeout-secs": "drain_timeout_s",
}
# The same options in `triton-asr serve`; the others can be set only in Python.
_IN_THE_COMMAND = {
    "repository": "DIR",
    "host": "--host",
    "http_port": "--http-port",
    "grpc_port": "--grpc-port",
    "metrics_port": "--metrics-port",
}
# These services are always on: the start reads readiness over HTTP and metrics and would hang without them, and
# TritonServer has a URL for all three.
_ALWAYS_ON = ("--allow-http", "--allow-grpc", "--allow-metrics")


class TritonServer:
    """A Triton server for one model repository: ready inside the `with` block, gone after it.

        with TritonServer("repository", http_port=0, grpc_port=0, metrics_port=0) as server:
            client = asr_client.Client(server.grpc_url)

    Args:
        repository: the folder that holds the model folders.
        host: the address to listen on; only this machine can reach the default.
        http_port, grpc_port, metrics_port: 0 chooses a free port.
        tritonserver: the program to run; default: one on PATH, else the pip-installed one.
        verbose: pass on all of Triton's log, at its verbose level.
        extra_args: further options for tritonserver.
        ready_timeout_s: the longest time that all models together may take to load.
        drain_timeout_s: the longest time that running requests may take to finish when the server stops. Meanwhile the
            kit's own models refuse new requests.
        log: called with each line of Triton's log, from another thread; default: write to stderr.

    Attributes (valid inside the `with` block):
        grpc_url, http_url, metrics_url: "HOST:PORT", as tritonclient takes them.
        models: the names of the models that are ready.
        pid: the process id of tritonserver; it changes when a model's process dies and tritonserver is restarted.

    Raises (on entering): the errors of `asr_server.errors`.
    """

    grpc_url: str
    http_url: str
    metrics_url: str
    models: tuple[str, ...]

    def __init__(
        self,
        repository: str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        http_port: int = 8000,
        grpc_port: int = 8001,
        metrics_port: int = 8002,
        tritonserver: str | os.PathLike[str] | None = None,
        verbose: bool = False,
        extra_args: Sequence[str] = (),
        ready_timeout_s: float = 300.0,
        drain_timeout_s: float = 30.0,
        log: LogHook = to_stderr,
    ) -> None:
        self._repository = Path(repository)
        self._host = host.removeprefix("[").removesuffix("]")
        self._wanted_ports = Ports(http_port, grpc_port, metrics_port)
        self._tritonserver = tritonserver
        self._verbose = verbose
        self._extra_args = tuple(extra_args)
        self._ready_timeout_s = ready_timeout_s
        self._drain_timeout_s = drain_timeout_s
        self._log_hook = log
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> "TritonServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when all models are ready."""
        if self._guard is not None:
            raise TritonServerError("this server is already started")
        check_repository(self._repository)
        check_options(self._extra_args)
        for attempt in range(1, _BIND_ATTEMPTS + 1):
            try:
                self._start_once()
                return
            except PortInUseError:
                # Another process may take a free port between our choice and tritonserver's start.
                if attempt == _BIND_ATTEMPTS or not self._wanted_ports.has_free_choice:
                    raise

    def stop(self) -> None:
        """Let running requests finish, end the server, and return when none of its processes is left."""
        if self._guard is None:
            return
        self._tell(guard.STOP)
        try:
            # The time counts twice: once until the server is idle, once for Triton's own wait.
            self._guard.wait(2 * self._drain_timeout_s + _UNLOAD_TIMEOUT_S + 5)
        except subprocess.TimeoutExpired:  # tritonserver dies with its guard
            self._guard.kill()
            self._guard.wait()
        finally:
            self._control.close()
            self._guard = None
            self._log.join(timeout_s=2)
            shutil.rmtree(self._scratch, ignore_errors=True)  # the guard has removed it, unless it was killed

    def kill(self) -> None:
        """End the server at once, without waiting for running requests."""
        if self._guard is not None:
            self._tell(guard.KILL)

    def wait(self) -> None:
        """Wait until tritonserver ends, then raise a ServerDiedError; this never returns."""
        if self._guard is None:
            raise TritonServerError("this server is not started")
        status = self._guard.wait()
        self._log.join(timeout_s=2)
        raise ServerDiedError(f"tritonserver ended with status {status}:\n" + _indented(errors(self._log.lines)))

    @property
    def pid(self) -> int:
        """Return the process id of tritonserver; see the class."""
        with contextlib.suppress(OSError, ValueError):  # the socket is closed if the server is stopped
            while select.select([self._control], [], [], 0)[0] and (told := self._control.recv(4096)):
                self._pid = int(told.split()[-1])
        return self._pid

    def _tell(self, what: bytes) -> None:
        with contextlib.suppress(OSError):  # the guard has ended already
            self._control.send(what)

    def _start_once(self) -> None:
        ports = reserve(self._host, self._wanted_ports)
        scratch = Path(tempfile.mkdtemp(prefix="triton-asr-"))
        try:
            command, environment, shm_prefix = self._command(ports, scratch)
            self._spawn(command, environment, shm_prefix, scratch)
            self._set_urls(ports)
            self._wait_until_ready(ports)
            self.models = self._list_models(ports)
            self._tell(guard.READY)
        except BaseException:
            self.kill()  # no requests are running, and on `stop` Triton would first finish loading
            self.stop()
            shutil.rmtree(scratch, ignore_errors=True)
            raise

    def _command(self, ports: Ports, scratch: Path) -> tuple[list[str], dict[str, str], str]:
        """Return the command line, its environment and the prefix of its shared-memory files."""
        try:
            found = installation.find(self._tritonserver, scratch)
        except OSError as error:
            raise TritonServerError(str(error)) from error
        shm_prefix = f"triton-asr-{os.getpid()}-{secrets.token_hex(4)}-"
        command = [
            str(found.binary),
            f"--model-repository={_shell_safe(self._repository.absolute(), scratch / 'repository')}",
            *(f"--{service}-address={_bind_address(service, self._host)}" for service in ("http", "grpc", "metrics")),
            f"--http-port={ports.http}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-port={ports.metrics}",
            f"--exit-timeout-secs={max(1, round(self._drain_timeout_s))}",
            f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
            *found.options,
            *(["--log-verbose=1"] if self._verbose else []),
            *self._extra_args,
        ]
        # The first step of an ensemble asks how many requests wait for the next one (model_repository/preprocess).
        metrics = _host_and_port(*self._address(ports.metrics))
        environment = {
            **_ENVIRONMENT,
            **os.environ,
            **caches.environment(scratch / "cache"),
            **found.environment,
            "TRITON_ASR_METRICS": metrics,
        }
        return command, environment, shm_prefix

    def _spawn(self, command: list[str], environment: dict[str, str], shm_prefix: str, scratch: Path) -> None:
        self._scratch = scratch
        self._control, theirs = socket.socketpair()
        settings = {
            "command": command,
            "drain_timeout_s": self._drain_timeout_s,
            "stop_timeout_s": self._drain_timeout_s + _UNLOAD_TIMEOUT_S,
            "shm_prefix": shm_prefix,
            "scratch": str(scratch),
        }
        with theirs:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(theirs.fileno()), json.dumps(settings)],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches only this process, which stops the server
            )
        assert self._guard.stdout is not None
        self._log = LogReader(self._guard.stdout, self._log_hook, show_harmless=self._verbose)
        self._control.settimeout(30)
        with contextlib.suppress(OSError, ValueError):  # _wait_until_ready notices a guard that cannot start
            self._pid = int(self._control.recv(32))

    def _wait_until_ready(self, ports: Ports) -> None:
        assert self._guard is not None
        deadline = time.monotonic() + self._ready_timeout_s
        while time.monotonic() < deadline:
            if self._guard.poll() is not None:
                self._log.join(timeout_s=2)
                raise start_failure(self._guard.returncode, self._log.lines, self._repository)
            if self._is_ready(ports):
                return
            if self._log.is_stuck:
                raise start_failure(0, self._log.lines, self._repository)
            time.sleep(0.05)
        detail = _indented(_reasons(self._log.lines))
        raise StartTimeoutError(f"the models were not ready after {self._ready_timeout_s:g} s; the log says:\n{detail}")

    def _is_ready(self, ports: Ports) -> bool:
        # HTTP starts after gRPC and before metrics, so HTTP and metrics together show that all three are ready.
        return _answers(self._address(ports.http), "/v2/health/ready") and _answers(
            self._address(ports.metrics), "/metrics"
        )

    def _list_models(self, ports: Ports) -> tuple[str, ...]:
        try:
            return _ready_models(self._address(ports.http))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._log.join(timeout_s=2)
            detail = _indented(errors(self._log.lines))
            raise ServerDiedError(f"tritonserver was ready, then stopped answering ({error!r}):\n{detail}") from error

    def _address(self, port: int) -> tuple[str, int]:
        """Return the address of the port for a client on this machine, which cannot connect to "all addresses"."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host), port

    def _set_urls(self, ports: Ports) -> None:
        self.grpc_url, self.http_url, self.metrics_url = (
            _host_and_port(*self._address(port)) for port in (ports.grpc, ports.http, ports.metrics)
        )


def _bind_address(service: str, host: str) -> str:
    """Return the host as the service spells it: gRPC and HTTP write an IPv6 address differently."""
    if ":" not in host:
        return host
    return f"[{host}]" if service == "grpc" else f"ipv6:{host}"


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_repository(repository: Path) -> None:
    """Raise a RepositoryError unless this is a folder of model folders."""
    if not repository.is_dir():
        problem = "is a file" if repository.exists() else "does not exist"
        raise RepositoryError(f"the model repository {repository} {problem}; `triton-asr export` makes one")
    if (repository / "config.pbtxt").is_file():
        parent = repository.absolute().parent
        raise RepositoryError(f"{repository} is a single model; give the folder that holds it: {parent}")
    if not any(entry.is_dir() for entry in repository.iterdir()):
        raise RepositoryError(f"there are no models in {repository}; `triton-asr export` puts them there")


def check_options(extra_args: Sequence[str]) -> None:
    """Raise an OptionError for an extra option that this package sets itself, or that turns a service off.

    Only the name counts: the value may be in the same word or in the next one, and has many spellings.
    """
    for argument in extra_args:
        name = argument.split("=")[0]
        if option := _meant(name, _OURS):
            argument = _OURS[option]
            command = _IN_THE_COMMAND.get(argument)
            before = f"give `triton-asr serve` {command}, before the --; in Python: " if command else "set "
            raise OptionError(f"{name} cannot be passed on to tritonserver; {before}TritonServer({argument}=…)")
        if _meant(name, _ALWAYS_ON):
            raise OptionError(
                f"{name} cannot be passed on to tritonserver: HTTP, gRPC and metrics are always on; readiness is read "
                "over them, and clients are given their addresses"
            )


def _meant(name: str, options: Iterable[str]) -> str | None:
    """Return the option that `name` means to tritonserver, which accepts abbreviations (--http-p); None for another."""
    if not name.startswith("--") or name == "--":
        return None
    return next((option for option in options if option.startswith(name)), None)


def start_failure(status: int, lines: list[str], repository: Path) -> TritonServerError:
    """Return the error that says why tritonserver ended before it was ready."""
    detail = _indented(_reasons(lines))
    if failures := model_failures(lines):
        advice = "".join(f"\n{line}" for line in engines.advice(repository, failures))
        return RepositoryError(f"not all models could be loaded:\n{detail}{advice}")
    if says_port_taken(lines):
        return PortInUseError(f"tritonserver could not bind its ports:\n{detail}")
    return ServerDiedError(f"tritonserver ended with status {status} before it was ready:\n{detail}")


def _reasons(lines: list[str]) -> list[str]:
    """Return the reason of each failed model; if there is none, return the last errors of the log."""
    return [f"{model}: {_with_cure(reason)}" for model, reason in model_failures(lines).items()] or errors(lines)


def _with_cure(reason: str) -> str:
    """Return a reason, with advice where Triton's own words name no cure."""
    return next((f"{reason}; {cure}" for words, cure in _CURES.items() if words in reason), reason)


def _indented(lines: list[str]) -> str:
    return "\n".join("  " + line.strip().replace("\n", "\n    ") for line in lines)


def _shell_safe(folder: Path, link: Path) -> Path:
    """Return the folder, or a link to it if its path holds special characters.

    Triton starts the processes of Python models with an unquoted shell command, so a space in the path ends the server.
    """
    if re.fullmatch(r"[\w@%+=:,./-]+", str(folder), re.ASCII):
        return folder
    link.unlink(missing_ok=True)
    link.symlink_to(folder, target_is_directory=True)
    return link


def _answers(address: tuple[str, int], path: str) -> bool:
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _ready_models(address: tuple[str, int]) -> tuple[str, ...]:
    connection = http.client.HTTPConnection(*address, timeout=30)
    try:
        connection.request("POST", "/v2/repository/index", body='{"ready": true}')
        index = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return tuple(sorted({entry["name"] for entry in index}))
