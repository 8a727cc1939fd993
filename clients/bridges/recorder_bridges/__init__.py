"""Bridges: media that others send in their own way, recorded with Recorder."""
