"""The Params of the connection: which servers and model, how many requests, and how long to wait."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

from asr_contract.parameters import MAX_SAMPLING_RATE, MIN_SAMPLING_RATE, Choice, Flag, Integer
from pyspark.ml.param import Param, Params

from asr_spark.credentials import CredentialFiles
from asr_spark.worker import Settings

_MOST_REQUESTS = 1_000


def _param(name: str, doc: str, check: Callable[[str, Any], Any]) -> "Param[Any]":
    return Param(Params._dummy(), name, doc, lambda value: check(name, value))


def _addresses(name: str, value: object) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values or not all(isinstance(url, str) and url for url in values):
        raise ValueError(f"{name} is {value!r}; needs a list of HOST:PORT, such as ['triton-1:8001', 'triton-2:8001']")
    return list(values)


def _name(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}; needs a name")
    return value


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}; needs a number of seconds above 0")
    return float(value)


class ConnectionParams(Params):
    """Where the servers are, and how the executors talk with them."""

    urls = _param("urls", "HOST:PORT of each server.", _addresses)
    model = _param("model", "Name of the model, as in export --name.", _name)
    protocol = _param("protocol", "grpc or http.", Choice(("grpc", "http")).check)
    samplingRate = _param("samplingRate", "Of arrays, in Hz.", Integer(MIN_SAMPLING_RATE, MAX_SAMPLING_RATE).check)
    concurrency = _param("concurrency", "Requests at a time, of each task.", Integer(1, _MOST_REQUESTS).check)
    timeoutS = _param("timeoutS", "Seconds that a request may take, retries included.", _seconds)
    failAfterS = _param("failAfterS", "Seconds without an answer of any server after which the job fails.", _seconds)
    tls = _param("tls", "Encrypt the connection.", Flag().check)
    headersFile = _param("headersFile", "File on the executors with headers, lines 'Name: value'.", _name)
    tlsCaFile = _param("tlsCaFile", "File on the executors (PEM) with the authorities to trust.", _name)
    tlsCertFile = _param("tlsCertFile", "File on the executors (PEM) with the certificate of this client.", _name)
    tlsKeyFile = _param("tlsKeyFile", "File on the executors (PEM) with its private key.", _name)

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(
            model=Settings.model,
            protocol=Settings.protocol,
            concurrency=Settings.concurrency,
            timeoutS=Settings.timeout_s,
            failAfterS=Settings.fail_after_s,
            tls=False,
        )

    def credential_files(self) -> CredentialFiles:
        """Return the files that hold credentials."""
        return CredentialFiles(
            tls=self.getTls(),
            headers=self._optional(self.headersFile),
            tls_ca=self._optional(self.tlsCaFile),
            tls_cert=self._optional(self.tlsCertFile),
            tls_key=self._optional(self.tlsKeyFile),
        )

    def _optional(self, param: "Param[Any]") -> Any:
        """Return a Param's value; None if it has none."""
        return self.getOrDefault(param) if self.isDefined(param) else None

    def setUrls(self, value: Sequence[str] | str) -> Self:
        """Set `urls`."""
        return self._set(urls=value)

    def getUrls(self) -> list[str]:
        """Return `urls`."""
        value: list[str] = self.getOrDefault(self.urls)
        return value

    def setModel(self, value: str) -> Self:
        """Set `model`."""
        return self._set(model=value)

    def getModel(self) -> str:
        """Return `model`."""
        value: str = self.getOrDefault(self.model)
        return value

    def setProtocol(self, value: str) -> Self:
        """Set `protocol`."""
        return self._set(protocol=value)

    def getProtocol(self) -> str:
        """Return `protocol`."""
        value: str = self.getOrDefault(self.protocol)
        return value

    def setSamplingRate(self, value: int) -> Self:
        """Set `samplingRate`."""
        return self._set(samplingRate=value)

    def getSamplingRate(self) -> int | None:
        """Return `samplingRate`."""
        value: int | None = self._optional(self.samplingRate)
        return value

    def setConcurrency(self, value: int) -> Self:
        """Set `concurrency`."""
        return self._set(concurrency=value)

    def getConcurrency(self) -> int:
        """Return `concurrency`."""
        value: int = self.getOrDefault(self.concurrency)
        return value

    def setTimeoutS(self, value: float) -> Self:
        """Set `timeoutS`."""
        return self._set(timeoutS=value)

    def getTimeoutS(self) -> float:
        """Return `timeoutS`."""
        value: float = self.getOrDefault(self.timeoutS)
        return value

    def setFailAfterS(self, value: float) -> Self:
        """Set `failAfterS`."""
        return self._set(failAfterS=value)

    def getFailAfterS(self) -> float:
        """Return `failAfterS`."""
        value: float = self.getOrDefault(self.failAfterS)
        return value

    def setTls(self, value: bool) -> Self:
        """Set `tls`."""
        return self._set(tls=value)

    def getTls(self) -> bool:
        """Return `tls`."""
        value: bool = self.getOrDefault(self.tls)
        return value

    def setHeadersFile(self, value: str) -> Self:
        """Set `headersFile`."""
        return self._set(headersFile=value)

    def getHeadersFile(self) -> str | None:
        """Return `headersFile`."""
        value: str | None = self._optional(self.headersFile)
        return value

    def setTlsCaFile(self, value: str) -> Self:
        """Set `tlsCaFile`."""
        return self._set(tlsCaFile=value)

    def getTlsCaFile(self) -> str | None:
        """Return `tlsCaFile`."""
        value: str | None = self._optional(self.tlsCaFile)
        return value

    def setTlsCertFile(self, value: str) -> Self:
        """Set `tlsCertFile`."""
        return self._set(tlsCertFile=value)

    def getTlsCertFile(self) -> str | None:
        """Return `tlsCertFile`."""
        value: str | None = self._optional(self.tlsCertFile)
        return value

    def setTlsKeyFile(self, value: str) -> Self:
        """Set `tlsKeyFile`."""
        return self._set(tlsKeyFile=value)

    def getTlsKeyFile(self) -> str | None:
        """Return `tlsKeyFile`."""
        value: str | None = self._optional(self.tlsKeyFile)
        return value
