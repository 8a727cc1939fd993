"""A demonstration: a server, an application, a call of two voices, its webhook, its events and its file.

`python -m recorder_service.cli.demo`, or `make demo`.
"""
