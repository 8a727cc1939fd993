"""Which channel of the file a leg belongs to."""


def channel_of(position: int, channels: int) -> int:
    """Choose a leg's channel: legs take channels by position, those beyond the last share the last.

    One channel is the mono mix. With two, position 0 is the caller (left) and everybody else is what the caller hears
    (right). With more, the position is the order of joining.
    """
    return min(position, channels - 1)
