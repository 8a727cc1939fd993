"""The catalog: applications, recordings, events and deliveries in SQLite, and what happens to them as transactions."""
