"""Reads the texts that the core is handed: the policy file and the sentences of a language."""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from processors.policy import Policy, PolicyError, load_policy
from processors.toml_lines import lines
from processors.wording import Wording
from streams.settings import LoyaltyError


def read_policy(path: Path) -> Policy:
    """The policy in the file at `path`. LoyaltyError with a line for each problem."""
    try:
        return usable_policy(policy_text(path), path.name)
    except PolicyError as error:
        told = "\n  ".join(error.problems)
        raise LoyaltyError(f"the policy {path} cannot be used:\n  {told}") from None


def usable_policy(text: str, file: str = "policy.toml") -> Policy:
    """The policy that `text` (TOML) holds, every sentence it needs at hand: whatever runs reads it by this.

    PolicyError with every problem at once, each with file, line and way out.
    """
    policy = load_policy(text, file)
    problems = list(_unsaid(policy, file))
    if problems:
        raise PolicyError(problems)
    return policy


def _unsaid(policy: Policy, file: str) -> Iterator[str]:
    """A problem for each thing that could not be said: in the programme's language, and by the kinds of care whose
    sentence is not the policy's own in any that is shipped, for a programme may change its language."""
    language, where = policy.programme.language, lines(policy.text)
    try:
        said = wording(language)
    except LoyaltyError as error:
        yield f"{file}:{where.get(('programme', 'language'), 1)}: {error}"
        return
    others = [wording(name) for name in languages() if name != said.language]
    for place, care in enumerate(policy.care):
        if language not in care.texts:
            for fault in next((found for one in (said, *others) if (found := list(one.care_faults(care)))), []):
                line = where.get(("care", place, "kind"), 1)
                way_out = f'name it otherwise, or give it a sentence: texts = {{ {language} = "…" }}'
                yield f'{file}:{line}: care[{place}].kind is "{care.kind}": {fault}; {way_out}'


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
        raise LoyaltyError(f"programme.language is {language!r}, which has no texts; there are {', '.join(known)}")
    return Wording((files("processors") / "texts" / f"{name}.toml").read_text("utf-8"), name)
