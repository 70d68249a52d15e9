"""The program `freshet`, and `python -m streams`."""

import sys


def main() -> None:
    """Ctrl-C is no fault, also while modules are still being read, which takes a moment."""
    try:
        from streams import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
