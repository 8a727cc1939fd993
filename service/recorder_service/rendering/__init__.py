"""Rendering in processes of their own, so that mixing and encoding never hold up what receives."""
