"""`python -m gomatch_operator`."""

from gomatch_operator.cli import main

main()
