"""Webhooks: the record event, its signature, where it may go, and sending it until it has arrived."""
