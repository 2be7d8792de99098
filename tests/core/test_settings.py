"""Settings: each has a default that fits the local stack, is read once, and is told with name, value and way out."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from infra.localstack.stack import ERASE_KEY_FILE as STACKS_KEY_FILE
from streams.settings import ERASE_KEY_FILE, SPECS, SettingError, Settings, unknown_variables


def read(tmp_path: Path, **values: str) -> Settings:
    return Settings.from_env({"LOYALTY_DATA_DIR": str(tmp_path), **values})


def test_every_setting_has_a_default_and_a_help() -> None:
    settings = Settings.from_env({})
    assert (str(settings.kafka), settings.kafka.security) == ("127.0.0.1:9392", "PLAINTEXT")
    assert settings.redis == "redis://127.0.0.1:6392/0"
    assert settings.metrics_address == ("127.0.0.1", 9464)
    assert settings.clock == "wall"
    assert all(len(spec.help) > 5 and not spec.help.endswith(".") for spec in SPECS)


def test_the_default_policy_is_shipped_beside_the_code() -> None:
    assert tomllib.loads(Settings.from_env({}).policy.read_text())["programme"]["name"]


def test_an_address_without_scheme_is_a_redis_url(tmp_path: Path) -> None:
    assert read(tmp_path, LOYALTY_REDIS="localhost:7000").redis == "redis://localhost:7000/0"
    assert read(tmp_path, LOYALTY_REDIS="rediss://:pw@h:7000/3").redis == "rediss://:pw@h:7000/3"
    cluster = "redis+cluster://u:pw@a:7000,b:7001"
    assert read(tmp_path, LOYALTY_REDIS=cluster).redis == cluster
    assert read(tmp_path, LOYALTY_REDIS=cluster).shown()["LOYALTY_REDIS"] == "redis+cluster://u:***@a:7000,b:7001"
    for wrong in ("redis+cluster://a:7000/1", "redis+cluster://a,b:7000", "http+cluster://a:7000"):
        with pytest.raises(SettingError, match="redis\\+cluster://host:port,host:port"):
            read(tmp_path, LOYALTY_REDIS=wrong)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LOYALTY_KAFKA", "broker", "host:port"),
        ("LOYALTY_KAFKA", "a:1,b", "host:port"),
        ("LOYALTY_KAFKA", "a:70000", "1..65535"),
        ("LOYALTY_PARTITIONS", "0", "1..10000"),
        ("LOYALTY_PARTITIONS", "-3", "whole number"),
        ("LOYALTY_PARTITIONS", "", "whole number"),
        ("LOYALTY_CLOCK", "wal", "did you mean wall?"),
        ("LOYALTY_PREFIX", "a:b", "letters"),
        ("LOYALTY_LOG", "LOUD", "one of DEBUG"),
    ],
)
def test_a_bad_value_is_told_with_name_value_and_rule(name: str, value: str, told: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({name: value})
    text = str(caught.value)
    assert text.startswith(f"{name} is {value!r}: ")
    assert told in text
    assert "(default: " in text


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({"LOYALTY_KAFKA": "x", "LOYALTY_TICK_MS": "y"})
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["LOYALTY_KAFKA", "LOYALTY_TICK_MS"]


def test_a_secret_is_neither_in_shown_nor_in_repr_nor_in_an_error(tmp_path: Path) -> None:
    settings = read(tmp_path, LOYALTY_ERASE_KEY="sesame", LOYALTY_REDIS="redis://u:sesame@h:1/0")
    assert settings.erase_key == "sesame"
    assert "sesame" not in repr(settings) + repr(settings.shown())
    assert settings.shown()["LOYALTY_REDIS"] == "redis://u:***@h:1/0"
    with pytest.raises(SettingError) as caught:
        read(tmp_path, LOYALTY_REDIS="http://:sesame@h:1")
    assert "sesame" not in str(caught.value)


def test_the_registry_may_ask_for_a_password_which_nobody_is_shown(tmp_path: Path) -> None:
    url, name = "https://bob:sesame@registry:8081/apis/ccompat/v7/", "LOYALTY_SCHEMA_REGISTRY_URL"
    for settings in (
        read(tmp_path, LOYALTY_SCHEMA_REGISTRY_URL=url),
        read(tmp_path, LOYALTY_SCHEMA_REGISTRY_USER="bob", LOYALTY_SCHEMA_REGISTRY_PASSWORD="sesame"),
    ):
        assert "sesame" not in repr(settings) + repr(settings.shown())
    assert read(tmp_path, LOYALTY_SCHEMA_REGISTRY_URL=url).shown()[name] == url.replace("sesame", "***").rstrip("/")
    with pytest.raises(SettingError, match=r"^LOYALTY_SCHEMA_REGISTRY_URL is \*\*\*: must be http://"):
        read(tmp_path, LOYALTY_SCHEMA_REGISTRY_URL="bob:sesame@registry:8081")
    with pytest.raises(SettingError, match="must name a host"):
        read(tmp_path, LOYALTY_SCHEMA_REGISTRY_URL="http://:8081")
    with pytest.raises(SettingError, match="USER is set and LOYALTY_SCHEMA_REGISTRY_URL has a user"):
        read(tmp_path, LOYALTY_SCHEMA_REGISTRY_URL=url, LOYALTY_SCHEMA_REGISTRY_USER="bob")


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sesame\n")
    assert read(tmp_path, LOYALTY_ERASE_KEY_FILE=str(tmp_path / "key")).erase_key == "sesame"
    with pytest.raises(SettingError, match=r"LOYALTY_ERASE_KEY_FILE is '.*none': cannot be read"):
        read(tmp_path, LOYALTY_ERASE_KEY_FILE=str(tmp_path / "none"))
    with pytest.raises(SettingError, match="both set"):
        read(tmp_path, LOYALTY_ERASE_KEY_FILE=str(tmp_path / "key"), LOYALTY_ERASE_KEY="other")


def test_the_erase_key_falls_back_to_the_local_stacks(tmp_path: Path) -> None:
    assert ERASE_KEY_FILE == STACKS_KEY_FILE
    assert read(tmp_path).erase_key == ""
    (tmp_path / ERASE_KEY_FILE).write_text("made\n")
    assert read(tmp_path).erase_key == "made"
    assert read(tmp_path, LOYALTY_ERASE_KEY="own").erase_key == "own"


def test_an_unknown_variable_is_told_with_the_nearest() -> None:
    assert unknown_variables({"LOYALTY_KAFAK": "x", "LOYALTY_KAFKA": "y", "PATH": "z"}) == [
        "LOYALTY_KAFAK is no setting; did you mean LOYALTY_KAFKA?"
    ]


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LOYALTY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LOYALTY_BATCH_RECORDS", "1_234")
    assert Settings.from_env().batch_records == 1_234
    assert all(re.fullmatch(r"LOYALTY_[A-Z_]+", spec.name) for spec in SPECS)
