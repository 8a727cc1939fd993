"""Generated from proto/recorder/v1 by proto/generate.py; not to be edited."""
