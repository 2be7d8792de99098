"""Settings of who we are to Kafka and Redis, taken together: what contradicts itself, and what clients are made of.

A setting by itself is checked in `streams/settings.py`. Here `values` are all of them, by field. No line shows
a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from sinks.access import KafkaAccess, tls
from sinks.addresses import seeds

_TLS: Final = ("rediss", "rediss+cluster")


def wrong(values: Mapping[str, Any]) -> Iterator[str]:
    """A line for each thing that would send a secret in the clear, never be used, or let strangers in."""
    yield from _kafka_wrong(values)
    yield from _redis_wrong(values)
    for name in ("metrics", "exporter"):
        host = values[name].rpartition(":")[0].removeprefix("[").removesuffix("]")
        if not is_loopback(host) and not values["metrics_token"]:
            yield (
                f"LOYALTY_{name.upper()} is {values[name]}, which others reach: set LOYALTY_METRICS_TOKEN(_FILE), "
                f"which they then send as `Authorization: Bearer …`, or bind to 127.0.0.1"
            )


def kafka(values: Mapping[str, Any]) -> KafkaAccess:
    """How Kafka is reached."""
    return KafkaAccess(
        servers=values["kafka"],
        security=values["kafka_security"],
        mechanism=values["kafka_sasl_mechanism"],
        user=values["kafka_user"],
        password=values["kafka_password"],
        ca_file=values["kafka_ca_file"],
        cert_file=values["kafka_cert_file"],
        key_file=values["kafka_key_file"],
    )


def redis_url(values: Mapping[str, Any]) -> str:
    """The URL with user, password and certificate authority in it, as redis-py takes it."""
    url: SplitResult = urlsplit(values["redis"])
    if values["redis_password"]:
        login = f"{quote(values['redis_user'], safe='')}:{quote(values['redis_password'], safe='')}"
        url = url._replace(netloc=f"{login}@{url.netloc}")
    if values["redis_ca_file"]:
        url = url._replace(query=urlencode([*parse_qsl(url.query), ("ssl_ca_certs", values["redis_ca_file"])]))
    return url.geturl()


def in_the_clear(servers: str, encrypted: bool) -> str:
    """What is wrong where customers' data goes over a network that others may listen to; empty: nothing."""
    hosts = [address.rpartition(":")[0].strip("[]") for address in servers.split(",")]
    if encrypted or all(map(is_loopback, hosts)):
        return ""
    return "customers' data goes over the network in the clear: use TLS, unless that network is yours alone"


def is_encrypted(url: str) -> bool:
    """Whether a Redis at `url` is spoken to over TLS."""
    return urlsplit(url).scheme in _TLS


def redis_security(url: str) -> tuple[str, str]:
    """How Redis is reached and as whom, and what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return "a socket of this machine", ""
    tls = is_encrypted(url)
    login = f" as {parts.username or 'default'}" if parts.password else ""
    servers = ",".join(f"{node.hostname}:{node.port}" for node in map(urlsplit, seeds(url)))
    return f"{'TLS' if tls else 'no TLS'}{login}", in_the_clear(servers, tls)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. A name other than localhost may mean anything, so it does not count."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _kafka_wrong(values: Mapping[str, Any]) -> Iterator[str]:
    access = kafka(values)
    said = f"LOYALTY_KAFKA_SECURITY is {access.security}"
    if access.logs_in and not (access.user and access.password):
        yield f"{said}: it needs LOYALTY_KAFKA_USER and LOYALTY_KAFKA_PASSWORD(_FILE)"
    if not access.logs_in and (access.user or access.password):
        yield f"LOYALTY_KAFKA_USER or its password is set, and {said}, which sends neither: set SASL_SSL"
    if access.logs_in and not access.encrypted and access.mechanism == "PLAIN":
        yield f"LOYALTY_KAFKA_SASL_MECHANISM is PLAIN, and {said}: anybody on the way could read it; set SASL_SSL"
    if access.key_file and not access.cert_file:
        yield "LOYALTY_KAFKA_KEY_FILE is set without LOYALTY_KAFKA_CERT_FILE: give both"
    files = [f"LOYALTY_KAFKA_{what.upper()}_FILE" for what in ("ca", "cert", "key") if values[f"kafka_{what}_file"]]
    if files and not access.encrypted:
        yield f"{' and '.join(files)} set, and {said}, which encrypts nothing: set SSL or SASL_SSL"
    if access.encrypted:
        try:
            access.ssl_context()
        except OSError as error:
            yield f"{' or '.join(files) or said}: cannot be used for TLS ({error}); give readable PEM files"


def _redis_wrong(values: Mapping[str, Any]) -> Iterator[str]:
    url = urlsplit(values["redis"])
    if values["redis_user"] and not values["redis_password"]:
        yield "LOYALTY_REDIS_USER is set without LOYALTY_REDIS_PASSWORD(_FILE): give both"
    if values["redis_password"] and (url.username or url.password):
        yield "LOYALTY_REDIS_PASSWORD is set and LOYALTY_REDIS has a user or a password: give one"
    if values["redis_password"] and url.scheme == "unix":
        yield "LOYALTY_REDIS_PASSWORD is set and LOYALTY_REDIS is a socket: write unix://user:password@/path"
    if values["redis_ca_file"] and url.scheme not in _TLS:
        yield "LOYALTY_REDIS_CA_FILE is set and LOYALTY_REDIS encrypts nothing: write rediss://host:port/db"
    elif values["redis_ca_file"]:
        try:
            tls(values["redis_ca_file"])
        except OSError as error:
            yield f"LOYALTY_REDIS_CA_FILE cannot be used for TLS ({error}); give a readable PEM file"
