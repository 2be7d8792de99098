"""docs/rules.md is what the policy and the docstrings say."""

from pathlib import Path

from processors.policy import load_policy
from tests import rulebook


def test_the_rules_page_is_current() -> None:
    policy = load_policy(rulebook.POLICY.read_text("utf-8"))
    current = rulebook.PAGE.read_text("utf-8") == rulebook.page(policy)
    assert current, "docs/rules.md is behind policy and docstrings: python -m tests.rulebook > docs/rules.md"


def test_every_rule_is_decided_somewhere() -> None:
    named = frozenset[str]().union(*(names for names, _ in rulebook.docstrings(rulebook.ROOT)))
    assert set(rulebook.RULES) <= named


def test_a_docstring_belongs_to_the_rules_it_names(tmp_path: Path) -> None:
    for folder in rulebook.FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "processors" / "tier.py").write_text(
        '"""T1-T5: the tier.\n\nT1 up at once. T2 down after\na grace.\n"""\n\n\n'
        'def below() -> None:\n    """Starts the grace (T2, T3).\n\n    More (T5)."""\n'
    )
    said = [(sorted(names), words.where, words.text) for names, words in rulebook.docstrings(tmp_path)]
    assert said == [
        (["T1", "T2", "T3", "T4", "T5"], "processors/tier.py", "T1-T5: the tier."),
        (["T1"], "processors/tier.py", "T1 up at once."),
        (["T2"], "processors/tier.py", "T2 down after a grace."),
        (["T2", "T3"], "processors/tier.py below", "Starts the grace (T2, T3)."),
    ]
