"""Keep of a lock only the packages that its .in file names: those in data.in are installed without dependencies."""

import re
import sys
from pathlib import Path


def normal(name: str) -> str:
    """A package's name as locks write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(source: Path, lock: Path) -> None:
    """Rewrite `lock` in place."""
    named = {normal(line.split("==")[0]) for line in source.read_text().splitlines() if re.match(r"\w", line)}
    kept, keep = [], True
    for line in lock.read_text().splitlines():
        if re.match(r"\w", line):
            keep = normal(line.split("==")[0]) in named
        if keep or line.startswith("#"):
            kept.append(line)
    lock.write_text("\n".join(kept) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
