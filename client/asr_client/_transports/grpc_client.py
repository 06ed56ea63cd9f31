"""tritonclient's gRPC client, which closes its connection once."""

from typing import Any

import tritonclient.grpc


class GrpcClient(tritonclient.grpc.InferenceServerClient):  # type: ignore[misc]  # it has no types
    """A client that does nothing when it is closed a second time.

    tritonclient closes it again when Python deletes it. That does harm under gevent: gRPC counts its channels there and
    would count this one twice; and where Python deletes it at the end of the process, gRPC may wait for ever for a lock
    that one of its threads held when Python stopped all threads.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._is_closed = True  # until there is something to close
        super().__init__(*arguments, **options)
        self._is_closed = False

    def close(self) -> None:
        """Close the connection."""
        if not self._is_closed:
            self._is_closed = True
            super().close()
