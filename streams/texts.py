"""Reads the texts that the core is handed: the policy file and the sentences of a language."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from processors.policy import Policy, PolicyError, load_policy
from processors.wording import Wording
from streams.settings import LoyaltyError


def read_policy(path: Path) -> Policy:
    """The policy in the file at `path`. LoyaltyError with a line for each problem."""
    try:
        return load_policy(policy_text(path), path.name)
    except PolicyError as error:
        told = "\n  ".join(error.problems)
        raise LoyaltyError(f"the policy {path} cannot be used:\n  {told}") from None


def policy_text(path: Path) -> str:
    """The text of a policy file, to the byte, as its hash is of it. LoyaltyError where it can't be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise LoyaltyError(f"{path}: {why}; name a policy file, or set LOYALTY_POLICY to one") from None
    except UnicodeDecodeError as error:
        raise LoyaltyError(f"{path}: byte {error.start} is no UTF-8; save the policy as UTF-8") from None


def languages() -> list[str]:
    """The languages that have texts."""
    names = [entry.name for entry in (files("processors") / "texts").iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


@cache
def wording(language: str) -> Wording:
    """The sentences of `language`, or of the language that its first part names ("zh-CN": "zh").

    LoyaltyError where there are none.
    """
    known = languages()
    name = language if language in known else language.partition("-")[0]
    if name not in known:
        raise LoyaltyError(f"[programme] language is {language!r}, which has no texts; there are {', '.join(known)}")
    return Wording((files("processors") / "texts" / f"{name}.toml").read_text("utf-8"), name)
