"""The secure local stack: certificates, users and what each may do, in files that this user alone reads.

Kafka: SASL_SSL with SCRAM-SHA-512, and ACLs where nothing is allowed that no role names. Its controller listens on TLS
with certificates on both sides: the one other certificate is the broker's own, and the authority's key is thrown away
once it has signed both, so nobody can make a third. Redis: a user for each role, the default user off; TLS where the
redis-server has it.

Under `<data>/secure`: `ca.pem`; `server.pem`, `server.crt`, `server.key`; for each role `<role>.password` and
`<role>.env`, to be sourced. Who may do what is handed in: this folder knows neither topics nor keys.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import shlex
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from infra.localstack.process import StackError

ADMIN, BROKER = "admin", "broker"
MECHANISM = "SCRAM-SHA-512"
BROKERS_NAME = "loyalty-broker"
_FOLDER = "secure"
_YEARS = 5


class Grant(Protocol):
    """Operations on a kind of Kafka resource (topic, group, transactional_id, cluster). prefixed: on all names that
    begin so; the name `*` stands for any."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def operations(self) -> Sequence[str]: ...
    @property
    def prefixed(self) -> bool: ...


class Role(Protocol):
    """A user of both servers. redis: the rules of its ACL, as in an ACL file; empty: no user of Redis."""

    @property
    def name(self) -> str: ...
    @property
    def kafka(self) -> Sequence[Grant]: ...
    @property
    def redis(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Secure:
    """The files of one secure stack. roles: besides `admin`, who may do all; variables: settings that every role
    shares, such as the prefix."""

    folder: Path
    roles: tuple[Role, ...]
    variables: Mapping[str, str]

    @classmethod
    def under(cls, data_dir: Path, roles: Iterable[Role], variables: Mapping[str, str]) -> Secure:
        """That of a data folder."""
        return cls(data_dir / _FOLDER, tuple(roles), dict(variables))

    @property
    def ca(self) -> Path:
        """Who signed the servers' certificate."""
        return self.folder / "ca.pem"

    @property
    def server_pem(self) -> Path:
        """Key and certificate in one, as Kafka wants it."""
        return self.folder / "server.pem"

    def make(self, hosts: Iterable[str]) -> None:
        """Certificates for the hosts and a password for each user, once. Raises StackError."""
        if self.ca.exists():
            self._check_private()
            return
        half_made = self.folder.with_name(f"{_FOLDER}.new")
        shutil.rmtree(half_made, ignore_errors=True)
        half_made.mkdir(mode=0o700, parents=True)
        _certificates(half_made, sorted({*hosts, "127.0.0.1", "localhost"}))
        for user in self.users():
            write_private(half_made / f"{user}.password", secrets.token_hex(24) + "\n")
        half_made.rename(self.folder)

    def users(self) -> tuple[str, ...]:
        """Everybody who has a password."""
        return (ADMIN, BROKER, *(role.name for role in self.roles))

    def password(self, user: str) -> str:
        """Of a user; made now for a role that an older stack did not know."""
        path = self.folder / f"{user}.password"
        if not path.exists():
            raise StackError(
                f"{path} is missing: a stack of an older release, or a file removed; begin anew with another "
                "LOYALTY_DATA_DIR, or put it back"
            )
        return path.read_text().strip()

    def kafka_options(self, user: str = ADMIN) -> dict[str, Any]:
        """Keyword arguments for kafka-python as that user."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": user,
            "sasl_plain_password": self.password(user),
            "ssl_cafile": str(self.ca),
        }

    def kafka_properties(self) -> str:
        """What makes the broker secure, as lines of server.properties; it holds the broker's own password."""
        jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return f"""\
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms={MECHANISM}
sasl.mechanism.inter.broker.protocol={MECHANISM}
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={jaas} username="{BROKER}" password="{self.password(BROKER)}";
ssl.keystore.type=PEM
ssl.keystore.location={self.server_pem.resolve()}
ssl.truststore.type=PEM
ssl.truststore.location={self.ca.resolve()}
ssl.enabled.protocols=TLSv1.3,TLSv1.2
listener.name.controller.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:{ADMIN};User:{BROKER};User:CN={BROKERS_NAME}
"""

    def scram(self) -> list[str]:
        """Words for `kafka-storage format`: every user with a password. To be given in a file: argv is public."""
        return [
            word
            for user in self.users()
            for word in ("--add-scram", f"{MECHANISM}=[name={user},password={self.password(user)}]")
        ]

    def allow(self, address: str) -> None:
        """Write the roles' ACLs to the broker, as admin; what is there already stays. Raises StackError."""
        from kafka import KafkaAdminClient
        from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern
        from kafka.admin import ResourceType as Kind
        from kafka.errors import KafkaError

        wanted = [
            ACL(
                f"User:{role.name}", "*", ACLOperation[operation], ACLPermissionType.ALLOW,
                ResourcePattern(
                    Kind[grant.kind.upper()], grant.name,
                    ACLResourcePatternType.PREFIXED if grant.prefixed else ACLResourcePatternType.LITERAL,
                ),
            )
            for role in self.roles for grant in role.kafka for operation in grant.operations
        ]  # fmt: skip
        admin = KafkaAdminClient(bootstrap_servers=[address], bootstrap_timeout_ms=10_000, **self.kafka_options())
        try:
            failed = admin.create_acls(wanted)["failed"]
        except KafkaError as error:
            raise StackError(f"Kafka did not take the roles' ACLs: {error}") from error
        finally:
            admin.close()
        if failed:
            raise StackError(f"Kafka refused ACLs: {failed[:3]}")

    def redis_users(self) -> str:
        """The ACL file of Redis: hashes of passwords alone. The default user is off."""
        lines = ["user default off nopass resetkeys -@all", f"user {ADMIN} on #{self._hash(ADMIN)} ~* &* +@all"]
        lines += [
            f"user {role.name} on #{self._hash(role.name)} resetkeys resetchannels -@all {role.redis}"
            for role in self.roles
            if role.redis
        ]
        return "\n".join(lines) + "\n"

    def redis_tls(self, port: int) -> str:
        """Lines of redis.conf for a redis-server that has TLS: no other port is open."""
        return f"""\
port 0
tls-port {port}
tls-cert-file "{(self.folder / "server.crt").resolve()}"
tls-key-file "{(self.folder / "server.key").resolve()}"
tls-ca-cert-file "{self.ca.resolve()}"
tls-auth-clients no
"""

    def redis_url(self, host: str, port: int, tls: bool, user: str = ADMIN) -> str:
        """For redis-py, as that user."""
        shown = f"[{host}]" if ":" in host else host
        query = f"?ssl_ca_certs={self.ca}" if tls else ""
        return f"redis{'s' if tls else ''}://{user}:{self.password(user)}@{shown}:{port}/0{query}"

    def write_environments(self, kafka: str, redis: str, tls: bool) -> None:
        """`<role>.env` for each role: what to source before a command. Secrets are named by their files."""
        for user in (ADMIN, *(role.name for role in self.roles)):
            has_redis = user == ADMIN or next(role for role in self.roles if role.name == user).redis
            password = str((self.folder / f"{user}.password").resolve())
            made = {
                **self.variables,
                "LOYALTY_KAFKA": kafka,
                "LOYALTY_KAFKA_SECURITY": "SASL_SSL",
                "LOYALTY_KAFKA_SASL_MECHANISM": MECHANISM,
                "LOYALTY_KAFKA_USER": user,
                "LOYALTY_KAFKA_PASSWORD_FILE": password,
                "LOYALTY_KAFKA_CA_FILE": str(self.ca.resolve()),
                "LOYALTY_REDIS": redis,
            }
            if has_redis:
                made |= {"LOYALTY_REDIS_USER": user, "LOYALTY_REDIS_PASSWORD_FILE": password}
            if tls:
                made["LOYALTY_REDIS_CA_FILE"] = str(self.ca.resolve())
            lines = [f"export {name}={shlex.quote(value)}" for name, value in made.items()]
            write_private(self.folder / f"{user}.env", "\n".join(lines) + "\n")

    def _hash(self, user: str) -> str:
        return sha256(self.password(user).encode()).hexdigest()

    def _check_private(self) -> None:
        for path in (self.folder, *self.folder.glob("*.password"), *self.folder.glob("server.*")):
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise StackError(f"{path} can be read by others: chmod go-rwx it, and make new passwords if it was")


def is_secure(data_dir: Path) -> bool:
    """Whether the data folder is that of a secure stack."""
    return (data_dir / _FOLDER / "ca.pem").exists()


def write_private(path: Path, text: str) -> None:
    """A file that this user alone reads, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _certificates(folder: Path, hosts: Sequence[str]) -> None:
    """An authority, and one certificate that it signed; its key is kept nowhere."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise StackError("the package cryptography is missing, which makes certificates; run `make install`") from error

    def begun(name: str, issuer: str, key: Any) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=365 * _YEARS))
        )

    def usage(signs: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not signs, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
        )  # fmt: skip

    ca_name = f"loyalty local stack {secrets.token_hex(4)}"
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = (
        begun(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(True), critical=True)
        .add_extension(ca_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    server = (
        begun(BROKERS_NAME, ca_name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    certificate = server.public_bytes(pem).decode()
    write_private(folder / "server.key", private)
    write_private(folder / "server.crt", certificate)
    write_private(folder / "server.pem", private + certificate)
    write_private(folder / "ca.pem", ca.public_bytes(pem).decode())


def _alternative(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
