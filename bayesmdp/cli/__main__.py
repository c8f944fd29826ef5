"""``python -m bayesmdp.cli``, where the command is not on the path."""

from bayesmdp.cli import main

if __name__ == "__main__":
    main()
