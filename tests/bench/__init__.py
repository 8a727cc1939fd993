"""Measurements; nothing here passes or fails by itself."""
