"""The oracle: the contract's sentences in slow, plain Python. It imports nothing of the project."""

from tests.oracle.facts import Facts
from tests.oracle.told import Change, Life, life, qualified, tiers
from tests.oracle.whole import expected_changes, expected_views, histories

__all__ = [
    "Change",
    "Facts",
    "Life",
    "expected_changes",
    "expected_views",
    "histories",
    "life",
    "qualified",
    "tiers",
]
