"""A caller of OpenAI's protocol for Locust's users, on geventhttpclient, which Locust itself has for cheap requests."""

from asr_client import DeadlineExceeded, RequestInterrupted, ServerUnavailable, Transcription
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from asr_loadtest.openai import messages
from asr_loadtest.openai.endpoint import Endpoint

_CONNECTING_S = 5.0
_MOST_CONNECTIONS = 20_000  # the users bound the requests under way; a limit here would make them wait unseen


class OpenAIGreenCaller:
    """Sends recordings to a service, without retries. All users of a process share it, and its connections.

    Args:
        endpoint: the service; of TLS, the system's authorities are trusted.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._form = messages.Form(endpoint.model)
        self._client = HTTPClient.from_url(
            endpoint.api,
            concurrency=_MOST_CONNECTIONS,
            connection_timeout=_CONNECTING_S,
            network_timeout=endpoint.timeout_s,
            headers=dict(endpoint.headers),
        )

    def transcribe(self, audio: bytes) -> Transcription:
        """Return the transcript of an audio file.

        Raises:
            AsrError: the service refuses it, fails, or does not answer.
        """
        body = b"".join(self._form.parts(audio))
        return messages.transcription(*self._ask("POST", "audio/transcriptions", body, self._form.content_type))

    def check_model(self) -> str:
        """Make sure that the service has the model, and return who owns the model; "" if the service does not say.

        Raises:
            AsrError: it has no such model, refuses the key, or does not answer.
        """
        return messages.owner(*self._ask("GET", f"models/{self._endpoint.model}"))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> tuple[int, bytes]:
        headers = {"content-type": content_type} if content_type else {}
        try:
            answer = self._client.request(method, f"{self._endpoint.path}/{path}", body, headers)
            return answer.status_code, bytes(answer.read())
        except TimeoutError as error:
            seconds = self._endpoint.timeout_s
            raise DeadlineExceeded(f"no answer from {self._endpoint.address} within {seconds:g} s") from error
        except (ConnectionResetError, BrokenPipeError, HTTPParseError) as error:
            raise RequestInterrupted(f"{self._endpoint.address} ended the connection: {error!r}") from error
        except OSError as error:
            raise ServerUnavailable(f"cannot talk to {self._endpoint.address}: {error}") from error
