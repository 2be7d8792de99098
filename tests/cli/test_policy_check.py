"""`loyalty policy check`, as it is typed."""

import hashlib
import json
from pathlib import Path

import pytest

from processors.policy import load_policy
from schemas.codec import write
from schemas.topics import POLICIES
from streams.cli import main
from streams.policies import policy_in
from streams.settings import LoyaltyError
from streams.texts import languages, policy_text, read_policy, wording
from tests.simulation.kafka import SimRecord

SHIPPED = Path("infra/policy.toml")
BROKEN = '[programme]\nname = "shop"\nversion = 1\ncurrency = "USD"\nlanguage = "tlh"\n[[tiers]]\nname = "member"\n'


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(BROKEN + "min_visits = 3\n[margin]\ndefault_rate = 25\n")
    return file


def test_a_good_policy_is_told_with_its_key_and_tiers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check", str(SHIPPED)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"ok: {read_policy(SHIPPED).key}, USD, days in UTC, language en\n")
    assert "min_value_365d 1500.00 USD, min_purchases_365d 12, min_categories_365d 3" in said


def test_the_policy_in_use_is_checked_where_no_file_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken: Path
) -> None:
    monkeypatch.setenv("LOYALTY_POLICY", str(broken))
    assert main(["policy", "check"]) == 1
    assert f"{broken}:8: tiers[0].min_visits is no condition" in capsys.readouterr().out


def test_every_problem_is_listed_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str], broken: Path) -> None:
    assert main(["policy", "check", str(broken)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[1] for line in said[:2]] == ["tiers[0].min_visits", "margin.default_rate"]
    assert said[2] == "2 problems; the policy is not used until each is mended"


def test_json_is_one_object(capsys: pytest.CaptureFixture[str], broken: Path) -> None:
    assert main(["policy", "check", str(SHIPPED), "--json"]) == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["ok"], good["policy"], good["problems"]) == (True, "default@1", [])
    assert good["tiers"][2]["conditions"] == {"min_value_365d": 60_000, "min_purchases_365d": 6}
    assert main(["policy", "check", str(broken), "--json"]) == 1
    bad = json.loads(capsys.readouterr().out)
    assert (bad["ok"], len(bad["problems"])) == (False, 2)


def test_a_language_without_texts_is_a_problem(capsys: pytest.CaptureFixture[str], broken: Path) -> None:
    broken.write_text(BROKEN)
    assert main(["policy", "check", str(broken)]) == 1
    assert "language is 'tlh', which has no texts; there are en, zh" in capsys.readouterr().out


def test_C1_a_kind_whose_sentence_names_what_it_is_not_given_is_a_problem(
    capsys: pytest.CaptureFixture[str], broken: Path
) -> None:
    kind = '[[care]]\nkind = "THANK_REFERRAL"\nshape = "rhythm"\n'
    broken.write_text(BROKEN.replace("tlh", "zh") + kind)
    assert main(["policy", "check", str(broken)]) == 1
    told = capsys.readouterr().out.splitlines()[0]
    assert told == (
        f'{broken}:9: care[0].kind is "THANK_REFERRAL": its sentence in texts/zh.toml names {{what}}: is no field; '
        'there are date, have, tier, usual; name it otherwise, or give it a sentence: texts = { zh = "…" }'
    )
    with pytest.raises(LoyaltyError, match=r"cannot be used:\n  mine.toml:9: care\[0\].kind"):
        read_policy(broken)
    text = broken.read_text()
    key = load_policy(text).key
    fields = {"name": "shop", "version": 1, "sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}
    found = SimRecord(0, 0, key.encode(), write(POLICIES, fields))
    assert policy_in(found) is None
    broken.write_text(BROKEN.replace("tlh", "zh") + kind + "texts = { zh = '{usual}' }\n")
    assert main(["policy", "check", str(broken)]) == 0


def test_C1_every_shipped_sentence_names_only_what_its_kind_is_given() -> None:
    for file in SHIPPED.parent.glob("policy*.toml"):
        assert read_policy(file)
    forms = wording("en").forms()
    assert {one.kind for one in read_policy(SHIPPED).care} <= {
        name.removeprefix("care.") for name in forms if name.startswith("care.")
    }


def test_a_file_that_cannot_be_read_is_told_in_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["policy", "check", str(tmp_path / "none.toml")]) == 1
    assert "none.toml: no such file or directory; name a policy file" in capsys.readouterr().err
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(LoyaltyError, match="byte 11 is no UTF-8; save the policy as UTF-8"):
        policy_text(tmp_path / "latin.toml")


def test_a_policy_that_cannot_be_used_stops_with_all_its_problems(broken: Path) -> None:
    with pytest.raises(LoyaltyError, match=r"(?s)cannot be used:\n  mine.toml:8: tiers.*\n  mine.toml:10: margin"):
        read_policy(broken)


def test_a_language_of_a_region_takes_the_texts_of_the_language() -> None:
    assert languages() == ["en", "zh"]
    assert wording("zh-CN").language == "zh"
