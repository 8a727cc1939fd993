"""A live recording: its state machine, its stop rules, and everything that has to survive a crash."""
