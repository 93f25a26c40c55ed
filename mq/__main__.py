"""``python -m mq`` is the command ``mq``."""

from mq.cli.main import main

main()
