"""`make audit`: what is known against the locked packages, and the bill of materials (CycloneDX) of all of them.

Exit 1 for a known vulnerability, and for nothing else: a database that is away, or knows no such package, is told in so
many words, and proves nothing either way.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

JARS = Path(__file__).resolve().parent.parent / "infra" / "localstack" / "jars.sha256"
HERE = Path(sys.executable).parent


def main() -> int:
    """Audits the locks named, writes the bill, tells both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sbom", type=Path, required=True, help="where the bill of materials goes")
    parser.add_argument("locks", nargs="+", type=Path)
    args = parser.parse_args()
    known, unasked, away = [], set(), []
    looked_up = set()
    for lock in args.locks:
        told = audited(lock)
        if isinstance(told, str):
            away.append(f"{lock}: {told}")
            continue
        for package in told:
            if "skip_reason" in package:
                unasked.add(package["name"])
                continue
            looked_up.add(f"{package['name']} {package['version']}")
            known += [f"{lock}: {package['name']} {package['version']}: {line}" for line in against(package)]
    count = bill(args.locks, args.sbom)
    print(f"{args.sbom}: {count} components (CycloneDX)")
    print(f"looked up: {len(looked_up)} packages; known vulnerabilities: {len(set(known))}")
    for line in sorted(set(known)):
        print(f"  {line}")
    if unasked:
        print(
            f"NOT looked up: {len(unasked)} packages that the database did not know or would not tell of, so nothing "
            f"is proven of them: {', '.join(sorted(unasked)[:8])}{' ...' if len(unasked) > 8 else ''}"
        )
    for line in away:
        print(f"NOT looked up, the vulnerability database could not be asked: {line}")
    return 1 if known else 0


def against(package: dict[str, Any]) -> list[str]:
    """A line for each vulnerability of a package: its names, and the release that mends it."""
    return [
        f"{', '.join([found['id'], *found['aliases']])}; mended in {', '.join(found['fix_versions']) or 'none yet'}"
        for found in package["vulns"]
    ]


def audited(lock: Path) -> list[dict[str, Any]] | str:
    """What pip-audit says of each package of a lock; a text: why it could not be asked."""
    words = ("--disable-pip", "--no-deps", "--require-hashes", "--progress-spinner", "off", "--format", "json")
    done = subprocess.run(
        [HERE / "pip-audit", *words, "--requirement", lock], capture_output=True, text=True, check=False
    )
    try:
        told: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        return told
    except (ValueError, KeyError):
        return (done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"])[-1]


def bill(locks: list[Path], out: Path) -> int:
    """Writes the bill of materials of the locks and of Kafka's jars; the number of components."""
    lines = {}
    for lock in locks:
        for block in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text()):
            if block[:1].isalnum():
                lines[block.split(" ")[0].strip()] = re.sub(r"\n\s*#.*", "", block).rstrip().rstrip("\\")
    words = ("requirements", "--output-reproducible", "--output-format", "JSON", "-")
    text = "\n".join(lines[name] for name in sorted(lines)) + "\n"
    done = subprocess.run([HERE / "cyclonedx-py", *words], input=text, capture_output=True, text=True, check=True)
    made = json.loads(done.stdout)
    made["components"] += [jar(*line.split()) for line in JARS.read_text().splitlines()]
    out.write_text(json.dumps(made, indent=1) + "\n")
    return len(made["components"])


def jar(digest: str, name: str) -> dict[str, Any]:
    """A jar of the local Kafka as a component."""
    stem, version = re.fullmatch(r"(.+?)-(\d.*)\.jar", name).groups() if re.search(r"-\d", name) else (name, "")
    return {
        "type": "library", "bom-ref": name, "name": stem, "version": version,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
