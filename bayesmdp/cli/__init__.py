"""The command line: ``bayesmdp run``, ``plan``, ``sweep``, ``compare``, ``list``, ``plot``."""


def main() -> None:
    """Run the command line; nothing of it is imported before."""
    from bayesmdp.cli.app import main

    main()
