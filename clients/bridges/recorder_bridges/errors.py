"""What ends a sender's connection before its call has ended in order."""


class BadMessage(Exception):
    """The sender said something that its protocol does not know; the text says what, without quoting it."""


class SenderLost(Exception):
    """The connection broke, or stayed silent for too long, without a hang-up."""
