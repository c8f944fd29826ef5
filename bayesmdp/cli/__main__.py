"""``python -m bayesmdp.cli``, where the command is not on the path."""

from bayesmdp.cli import main

main()
