"""How is the harness called where its script is not on PATH? `python -m harness`."""

from harness.cli import main

main()
