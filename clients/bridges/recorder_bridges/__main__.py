"""`python -m recorder_bridges`."""

from recorder_bridges.command import main

main()
