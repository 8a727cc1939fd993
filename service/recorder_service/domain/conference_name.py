"""The name of a conference that nodes share: one of them has it at a time."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ConferenceName:
    """What streams join: unique within an application while the conference lives."""

    application_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Hold:
    """That a node has a name, from the first join to the end of the conference.

    Attributes:
        hold_id: New with every conference and every start of the node, so that what comes too late changes nothing.
        conversation_id: The conference's.
    """

    hold_id: UUID
    name: ConferenceName
    conversation_id: str
