"""Certificates, passwords and files of the secure local stack, without its servers."""

from __future__ import annotations

import ssl
import stat
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from infra.localstack import Secure, StackError, is_secure
from infra.localstack.redis import has_tls, server_binary
from infra.localstack.secure import write_private
from sinks.access import KafkaAccess, tls
from streams.roles import roles
from streams.settings import Settings


@pytest.fixture
def made(tmp_path: Path) -> Secure:
    secure = Secure.under(tmp_path, roles(Settings.from_env({})), {"LOYALTY_PREFIX": "loyalty"})
    assert not is_secure(tmp_path)
    secure.make({"127.0.0.1", "::1"})
    assert is_secure(tmp_path)
    return secure


def hands_shaken(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str:
    """TLS in memory, both sides checked; the protocol. Raises ssl.SSLError."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there, server_hostname=name)
    other = server.wrap_bio(there, back, server_side=True)
    for _ in range(10):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    other.write(b"welcome")  # with TLS 1.3 the server's refusal of a client comes behind the client's handshake
    assert one.read(7) == b"welcome"
    return str(one.version())


def serving(secure: Secure, *, wants_certificate: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(secure.server_pem)
    if wants_certificate:
        made.load_verify_locations(secure.ca)
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def test_the_certificate_is_good_for_its_hosts_and_for_no_other(made: Secure) -> None:
    for name in ("127.0.0.1", "::1", "localhost"):
        assert hands_shaken(tls(str(made.ca)), serving(made), name) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for '127\.0\.0\.2'"):
        hands_shaken(tls(str(made.ca)), serving(made), "127.0.0.2")
    with pytest.raises(ssl.SSLCertVerificationError):
        hands_shaken(tls(""), serving(made), "127.0.0.1")


def test_where_a_server_wants_our_certificate_the_settings_give_it(made: Secure) -> None:
    files = {name: str(made.folder / f"server.{name}") for name in ("crt", "key")}
    server = serving(made, wants_certificate=True)
    access = KafkaAccess("h:1", "SSL", ca_file=str(made.ca), cert_file=files["crt"], key_file=files["key"])
    assert hands_shaken(access.options()["ssl_context"], server, "127.0.0.1")
    with pytest.raises(ssl.SSLError):
        hands_shaken(tls(str(made.ca)), server, "127.0.0.1")


def test_a_key_with_a_passphrase_is_refused_instead_of_asked_for(made: Secure, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key((made.folder / "server.key").read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    with pytest.raises(OSError, match="give one without a passphrase"):
        tls(str(made.ca), str(made.folder / "server.crt"), str(locked))


def test_the_authority_signs_nothing_more(made: Secure) -> None:
    for path in made.folder.iterdir():
        assert b"PRIVATE KEY" not in path.read_bytes() or path.name in ("server.key", "server.pem")
    authority = x509.load_pem_x509_certificate(made.ca.read_bytes())
    server = x509.load_pem_x509_certificate((made.folder / "server.crt").read_bytes())
    assert authority.public_key() != server.public_key()
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_files_are_private_and_stay_as_they_are(made: Secure) -> None:
    made.write_environments("127.0.0.1:1", "redis://127.0.0.1:2/0", False)
    before = {path.name: path.read_bytes() for path in made.folder.iterdir()}
    made.make({"127.0.0.1"})
    assert {path.name: path.read_bytes() for path in made.folder.iterdir()} == before
    for path in (made.folder, *made.folder.iterdir()):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path
    (made.folder / "pos.password").chmod(0o644)
    with pytest.raises(StackError, match=r"pos\.password can be read by others: chmod go-rwx"):
        made.make({"127.0.0.1"})


def test_a_role_is_told_its_own_secret_by_the_name_of_a_file(made: Secure) -> None:
    made.write_environments("127.0.0.1:1", "rediss://127.0.0.1:2/0", True)
    secrets = {user: made.password(user) for user in made.users()}
    assert len(set(secrets.values())) == len(secrets)
    for role in (*roles(Settings.from_env({})), None):
        text = (made.folder / f"{role.name if role else 'admin'}.env").read_text()
        assert not any(secret in text for secret in secrets.values())
        assert ("LOYALTY_REDIS_USER" in text) is (role is None or bool(role.redis))
        assert "LOYALTY_PREFIX=loyalty" in text


def test_redis_is_given_hashes_and_no_default_user(made: Secure) -> None:
    lines = made.redis_users().splitlines()
    assert lines[0] == "user default off nopass resetkeys -@all"
    assert [line.split()[1] for line in lines[1:]] == ["admin", "worker", "subscriber", "reader", "console", "ops"]
    for line in lines[1:]:
        name = line.split()[1]
        assert f"#{sha256(made.password(name).encode()).hexdigest()}" in line
        assert made.password(name) not in line


def test_a_lost_password_is_told(made: Secure) -> None:
    (made.folder / "ops.password").unlink()
    with pytest.raises(StackError, match=r"ops\.password is missing"):
        made.redis_users()


def test_a_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(0o666)
    write_private(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_a_redis_without_tls_is_known(tmp_path: Path) -> None:
    binary, _ = server_binary()
    with_tls, without = tmp_path / "with", tmp_path / "without"
    with_tls.write_text('#!/bin/sh\necho "line 3 >>> \'port \\"none\\"\' argument couldn\'t be parsed"\n')
    without.write_text('#!/bin/sh\necho "line 2 >>> \'tls-port \\"0\\"\' Bad directive"\n')
    for path in (with_tls, without):
        path.chmod(0o700)
    assert has_tls(str(with_tls))
    assert not has_tls(str(without))
    assert has_tls(binary) in (True, False), "the real one says either, and starts in neither case"
