"""The command `triton-asr`: its subcommands, and how it reports their failures.

Each subcommand is in the package that does the work, in a module whose imports cost nothing: a subcommand imports the
packages of its extra only when it runs.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import asr_export.command
import asr_gateway.commands
import asr_loadtest.command
import asr_loadtest.tuning.command
import typer
from asr_client.commands.evaluate import evaluate
from asr_client.commands.models import models
from asr_client.commands.output import use_any_encoding
from asr_client.commands.stream import stream
from asr_client.commands.transcribe import transcribe

from triton_asr import caches
from triton_asr.serve import serve

DISTRIBUTION = "triton-asr-kit"
DEBUG_VARIABLE = "TRITON_ASR_DEBUG"
# Subcommand -> the extra with the packages that it imports; None: the base installation has them.
EXTRAS: dict[str, str | None] = {
    "export": "export",
    "inspect": "export",
    "serve": "server",
    "gateway": "gateway",
    "gateway-key": "gateway",
    "transcribe": None,
    "stream": "mic",
    "evaluate": "evaluate",
    "models": None,
    "loadtest": "loadtest",
    "tune": "loadtest",
}
OUR_PACKAGES = frozenset(
    ("asr_client", "asr_contract", "asr_export", "asr_gateway", "asr_loadtest", "asr_server", "triton_asr")
)

app = typer.Typer(
    name="triton-asr",
    help="Put a HuggingFace speech recognition model on Triton: export, serve, transcribe, evaluate, loadtest, tune.",
    epilog=f"{DEBUG_VARIABLE}=1 shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    # Plain text, so that an error stays on one line and suits pipes and logs.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("export")(asr_export.command.export)
app.command("inspect")(asr_export.command.inspect)
app.command("serve")(serve)
app.command("gateway")(asr_gateway.commands.gateway)
app.command("gateway-key")(asr_gateway.commands.gateway_key)
app.command("transcribe")(transcribe)
app.command("stream")(stream)
app.command("evaluate")(evaluate)
app.command("models")(models)
app.command("loadtest")(asr_loadtest.command.loadtest)
app.command("tune")(asr_loadtest.tuning.command.tune)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"triton-asr {version(DISTRIBUTION)}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the console command. Exit code: 0 all good, 1 something failed, 2 wrong usage."""
    use_any_encoding()
    arguments = sys.argv[1:]
    if _subcommand(arguments) in caches.NEEDED_BY:
        caches.provide()
    try:
        app(arguments, prog_name="triton-asr")
    except Exception as error:
        message = explain(error, arguments)
        if message is None or os.environ.get(DEBUG_VARIABLE):
            raise
        typer.echo(f"triton-asr: error: {message}", err=True)
        sys.exit(1)


def explain(error: Exception, arguments: list[str]) -> str | None:
    """Return one line for a failure that the user can fix; None for a bug, which needs its traceback."""
    if isinstance(error, ModuleNotFoundError):
        return _missing_extra(error, arguments)
    # The errors of every package's own tree have messages for the user.
    if any(cls.__module__.partition(".")[0] in OUR_PACKAGES for cls in type(error).__mro__):
        return str(error)
    return None


def _missing_extra(error: ModuleNotFoundError, arguments: list[str]) -> str | None:
    module = (error.name or "").partition(".")[0]
    if not module or module in OUR_PACKAGES:
        return None
    subcommand = _subcommand(arguments)
    extra = EXTRAS.get(subcommand)
    requirement = f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION
    return f'`triton-asr {subcommand}` needs the package {module}, which is missing: pip install "{requirement}"'


def _subcommand(arguments: list[str]) -> str:
    """Return the subcommand: the first word that is no option, because the options before it take no values."""
    return next((argument for argument in arguments if not argument.startswith("-")), "")
