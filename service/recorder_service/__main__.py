"""`python -m recorder_service` is the `recorder` command."""

from recorder_service.cli import main

if __name__ == "__main__":
    main()
