"""`python -m streams` is `loyalty`."""

import sys

from streams.cli import main

if __name__ == "__main__":
    sys.exit(main())
