"""``python -m widthwise``, and the command ``widthwise``: the command line, or a sentence where its library is missing."""

from __future__ import annotations

import sys

from .theory.language.errors import NotAvailable


def main() -> None:
    """Run the command line."""
    try:
        from .cli import main as run
    except NotAvailable as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
