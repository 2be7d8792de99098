"""How Kafka is reached: addresses, encryption, who we are. The only place that makes client options of it.

aiokafka and kafka-python name these options alike, so one mapping serves every client of ours; Faust's consumer is
made by `streams/transport.py` with the same.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from ssl import SSLContext

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]

SECURITIES: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_PROBE_S: Final = 3.0

MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """servers: host:port, several by comma; what `str` shows, and all that does: there is no secret in it.

    ca_file: PEM, whom we trust in place of the machine's list; cert_file, key_file: PEM, where the broker asks for it.
    """

    servers: str
    security: Security = "PLAINTEXT"
    mechanism: str = MECHANISMS[0]
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def __str__(self) -> str:
        return self.servers

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.security in ("SSL", "SASL_SSL")

    @property
    def logs_in(self) -> bool:
        """Whether a user and a password are sent."""
        return self.security in ("SASL_PLAINTEXT", "SASL_SSL")

    def options(self) -> dict[str, Any]:
        """Keyword arguments for any client of aiokafka or kafka-python, which from now on unpack within bounds.

        Raises OSError where a file cannot be used.
        """
        from sinks import unpacking  # here, not above: `--help` needs no client

        unpacking.bind()
        made: dict[str, Any] = {"bootstrap_servers": self.servers.split(","), "security_protocol": self.security}
        if self.encrypted:
            made["ssl_context"] = self.ssl_context()
        if self.logs_in:
            made["sasl_mechanism"] = self.mechanism
            made["sasl_plain_username"] = self.user
            made["sasl_plain_password"] = self.password
        return made

    def why_silent(self) -> str:
        """What a client that found no broker does not say: whether the port, TLS or the login is to blame."""
        host, _, port = self.servers.split(",")[0].rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_S) as connection:
                if not self.encrypted:
                    return "the port is open: does it want TLS or a login? see LOYALTY_KAFKA_SECURITY"
                with self.ssl_context().wrap_socket(connection, server_hostname=host.strip("[]")):
                    if self.logs_in:
                        return "TLS is fine: are LOYALTY_KAFKA_USER, its password and the mechanism right?"
                    return "TLS is fine: does it want a login, or our certificate? see LOYALTY_KAFKA_SECURITY"
        except (OSError, ValueError) as error:
            return str(error)

    def ssl_context(self) -> SSLContext:
        """As `tls` makes it."""
        return tls(self.ca_file, self.cert_file, self.key_file)


def tls(ca_file: str, cert_file: str = "", key_file: str = "") -> SSLContext:
    """TLS 1.2 or newer; certificate and host name are always checked. Raises OSError (ssl.SSLError is one)."""
    import ssl

    made = ssl.create_default_context(cafile=ca_file or None)
    if cert_file:
        made.load_cert_chain(cert_file, key_file or None, password=_no_passphrase)
    return made


def _no_passphrase() -> str:
    """OpenSSL would ask at the terminal otherwise."""
    import ssl

    raise ssl.SSLError("the key is encrypted: give one without a passphrase, readable by this user alone")
