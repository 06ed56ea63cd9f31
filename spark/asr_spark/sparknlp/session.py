"""The Spark session, and the addresses of the servers in its configuration."""

from collections.abc import Mapping, Sequence

from pyspark.sql import SparkSession

URLS = "spark.triton.asr.urls"  # HOST:PORT of each server, separated by commas


def start(
    urls: Sequence[str] | str | None = None, *, memory: str | None = None, params: Mapping[str, str] | None = None
) -> SparkSession:
    """Return a Spark session, with the servers' addresses in its configuration. Needs no jar.

    Args:
        urls: HOST:PORT of each server; None leaves what the configuration says.
        memory: of the driver, such as "4g", if this call starts Spark; 1g by default, because no model runs there.
        params: more of Spark's configuration.
    """
    builder = SparkSession.builder.appName("Triton ASR Kit")
    settings = dict(params or {})
    if urls is not None:
        settings[URLS] = urls if isinstance(urls, str) else ",".join(urls)
    if memory is not None:
        settings["spark.driver.memory"] = memory
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def configured_urls(session: SparkSession) -> list[str]:
    """Return the addresses in the session's configuration; none if it has none."""
    text = session.conf.get(URLS, "") or ""
    return [url.strip() for url in text.split(",") if url.strip()]
