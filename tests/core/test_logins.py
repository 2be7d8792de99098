"""Who we are to Kafka and Redis: settings to client options, what contradicts itself, and that no secret is shown."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from streams.logins import is_loopback
from streams.settings import SettingError, Settings

SECRET = "sesame-open/@:%"


def read(tmp_path: Path, **values: str) -> Settings:
    return Settings.from_env({"LOYALTY_DATA_DIR": str(tmp_path), **{f"LOYALTY_{k}": v for k, v in values.items()}})


def told(tmp_path: Path, **values: str) -> str:
    with pytest.raises(SettingError) as caught:
        read(tmp_path, **values)
    assert SECRET not in str(caught.value)
    return str(caught.value)


SASL = {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_USER": "worker", "KAFKA_PASSWORD": SECRET}


def test_a_local_stack_is_reached_in_plaintext_without_a_login(tmp_path: Path) -> None:
    assert read(tmp_path, KAFKA="a:1, b:2").kafka.options() == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_a_user_logs_in_over_tls_that_checks_certificate_and_name(tmp_path: Path, mechanism: str) -> None:
    (tmp_path / "password").write_text(SECRET + "\n")
    given = {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_USER": "worker", "KAFKA_SASL_MECHANISM": mechanism}
    made = read(tmp_path, KAFKA_PASSWORD_FILE=str(tmp_path / "password"), **given).kafka.options()
    tls = made.pop("ssl_context")
    assert made == {
        "bootstrap_servers": ["127.0.0.1:9392"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "worker",
        "sasl_plain_password": SECRET,
    }
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert tls.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_both_clients_know_every_option_by_this_name(tmp_path: Path) -> None:
    import inspect

    import aiokafka
    import kafka

    names = set(read(tmp_path, **SASL).kafka.options())
    for client in (aiokafka.AIOKafkaConsumer, aiokafka.AIOKafkaProducer):
        assert names <= set(inspect.signature(client).parameters)
    for config in (kafka.KafkaConsumer, kafka.KafkaProducer, kafka.KafkaAdminClient):
        assert names <= set(config.DEFAULT_CONFIG)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"KAFKA_SECURITY": "SASL_SSL"}, "it needs LOYALTY_KAFKA_USER and LOYALTY_KAFKA_PASSWORD(_FILE)"),
        ({"KAFKA_USER": "worker"}, "LOYALTY_KAFKA_SECURITY is PLAINTEXT, which sends neither: set SASL_SSL"),
        ({**SASL, "KAFKA_SECURITY": "SSL"}, "LOYALTY_KAFKA_SECURITY is SSL, which sends neither: set SASL_SSL"),
        (
            {**SASL, "KAFKA_SECURITY": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN"},
            "anybody on the way could read it; set SASL_SSL",
        ),
        ({"KAFKA_SECURITY": "SASLSSL"}, "did you mean SASL_SSL?"),
        ({"KAFKA_CA_FILE": "ca.pem"}, "LOYALTY_KAFKA_CA_FILE set, and LOYALTY_KAFKA_SECURITY is PLAINTEXT"),
        ({**SASL, "KAFKA_KEY_FILE": "k.pem"}, "without LOYALTY_KAFKA_CERT_FILE"),
        ({**SASL, "KAFKA_CA_FILE": "no-such.pem"}, "LOYALTY_KAFKA_CA_FILE: cannot be used for TLS ([Errno 2]"),
        ({**SASL, "KAFKA_CA_FILE": __file__}, "LOYALTY_KAFKA_CA_FILE: cannot be used for TLS ([X509"),
        ({"REDIS_USER": "worker"}, "without LOYALTY_REDIS_PASSWORD(_FILE): give both"),
        ({"REDIS_PASSWORD": SECRET, "REDIS": "redis://u:p@h:1/0"}, "LOYALTY_REDIS has a user or a password: give one"),
        ({"REDIS_PASSWORD": SECRET, "REDIS": "unix:///s"}, "unix://user:password@/path"),
        ({"REDIS_CA_FILE": __file__}, "LOYALTY_REDIS encrypts nothing: write rediss://"),
        ({"REDIS_CA_FILE": __file__, "REDIS": "rediss://h:1/0"}, "LOYALTY_REDIS_CA_FILE cannot be used for TLS"),
        ({"METRICS": "0.0.0.0:9464"}, "which others reach: set LOYALTY_METRICS_TOKEN(_FILE)"),
        ({"METRICS": "[::]:9464"}, "which others reach"),
        ({"METRICS": "metrics.example:9464"}, "which others reach"),
        ({"METRICS_TOKEN": "short"}, "LOYALTY_METRICS_TOKEN is ***: must be at least 16 printable ASCII characters"),
        ({"METRICS_TOKEN": "sixteen or more with a space"}, "LOYALTY_METRICS_TOKEN is ***"),
    ],
)
def test_what_contradicts_itself_is_told_with_the_way_out(tmp_path: Path, given: dict[str, str], words: str) -> None:
    assert words in told(tmp_path, **given)


def test_a_redis_url_takes_user_password_and_authority_whatever_signs_they_hold(tmp_path: Path) -> None:
    from redis import Redis

    ca = ssl.get_default_verify_paths().cafile
    if ca is None or not Path(ca).exists():
        import certifi

        ca = certifi.where()
    given = {"REDIS": "rediss://h:1/2", "REDIS_USER": "us er", "REDIS_PASSWORD": SECRET, "REDIS_CA_FILE": ca}
    with Redis.from_url(read(tmp_path, **given).redis) as client:
        made: dict[str, Any] = client.connection_pool.connection_kwargs
    assert {name: made[name] for name in ("host", "port", "db", "username", "password", "ssl_ca_certs")} == {
        "host": "h", "port": 1, "db": 2, "username": "us er", "password": SECRET, "ssl_ca_certs": ca,
    }  # fmt: skip
    assert read(tmp_path, REDIS_PASSWORD="pw").redis == "redis://:pw@127.0.0.1:6392/0"


def test_no_secret_is_in_repr_str_or_what_doctor_shows(tmp_path: Path) -> None:
    token = SECRET + "-and-more"
    settings = read(tmp_path, **SASL, REDIS_PASSWORD=SECRET, REDIS_USER="w", METRICS_TOKEN=token, METRICS="0.0.0.0:1")
    shown = settings.shown()
    for text in (repr(settings), repr(settings.kafka), f"{settings.kafka}", repr(shown)):
        assert "sesame" not in text
    assert shown["LOYALTY_REDIS"] == "redis://w:***@127.0.0.1:6392/0"
    assert shown["LOYALTY_KAFKA"] == "127.0.0.1:9392"
    assert {shown[f"LOYALTY_{name}"] for name in ("KAFKA_PASSWORD", "REDIS_PASSWORD", "METRICS_TOKEN")} == {"***"}
    in_the_query = read(tmp_path, REDIS="rediss://h:1/0?password=sesame&ssl_password=sesame&ssl_ca_certs=/a/b")
    assert in_the_query.shown()["LOYALTY_REDIS"] == "rediss://h:1/0?password=***&ssl_password=***&ssl_ca_certs=/a/b"


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("localhost.evil.example", False)],
)  # fmt: skip
def test_loopback_is_what_this_machine_alone_reaches(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone
