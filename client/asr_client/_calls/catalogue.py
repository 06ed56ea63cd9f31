"""Which models of this kit the servers have, as steps."""

import contextlib
from typing import Protocol

from asr_contract.names import LONG_SUFFIX, RESERVED_ENDS, STREAM_SUFFIX
from asr_contract.tensors import LANGUAGE

from asr_client._calls.protocol import Answer, DescribeModel, ListModels, Operation, check_description
from asr_client._calls.steps import Steps
from asr_client._errors import ModelMismatch, ModelNotFound, ServerError
from asr_client._results import ModelInfo


class Ask(Protocol):
    """Asks one question, with the caller's own deadline and retries."""

    def __call__(self, operation: Operation[Answer], /) -> Steps[Answer]:
        """Return the steps that get the answer."""


def models(ask: Ask) -> Steps[tuple[ModelInfo, ...]]:
    """Return the models that callers name, in the order of their names: neither steps nor models of other kinds.

    The list has only names, so one question follows for each; a server answers it without any work.

    Raises:
        ServerError: what answers knows of no list; a proxy may not pass it on.
        AsrError: another branch of the error tree.
    """
    try:
        names = yield from ask(ListModels())
    except ModelNotFound as error:
        raise ServerError(f"the server does not tell which models it has: {error}") from error
    found = []
    for name in sorted(names):
        if name.endswith(RESERVED_ENDS):  # one that callers do not name, such as NAME_long
            continue
        with contextlib.suppress(ModelMismatch, ModelNotFound):  # of another kind, or unloaded just now
            description = yield from ask(DescribeModel(name, ""))
            check_description(name, description)
            found.append(
                ModelInfo(
                    name,
                    takes_long=name + LONG_SUFFIX in names,
                    takes_streams=name + STREAM_SUFFIX in names,
                    knows_languages=LANGUAGE in description.outputs,
                )
            )
    return tuple(found)
