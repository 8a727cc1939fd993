"""The HTTP side: downloads of finished files, health and metrics, and the server that runs them."""
