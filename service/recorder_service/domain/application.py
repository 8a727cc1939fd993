"""An application: the tenant that owns recordings."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from recorder_service.domain.options import HttpMethod

DEFAULT_RETENTION = timedelta(days=30)
MIN_RETENTION = timedelta(hours=1)
MAX_RETENTION = timedelta(days=3653)


@dataclass(frozen=True, slots=True)
class ApplicationKey:
    """A public key that tokens of the application may be signed with.

    Attributes:
        public_key_pem: RSA, at least 2048 bits.
        expire_time: When it stops being accepted; None for the current key.
    """

    key_id: str
    public_key_pem: str
    create_time: datetime
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """A tenant.

    Attributes:
        api_key: Names the signature secret to receivers of webhooks.
        signature_secret: Signs webhooks (HS256). Never shown again after creation.
        event_url: Where record events go unless a recording says otherwise; empty means nowhere.
        max_live_recordings: 0 means the service's default.
        keys: Newest first.
    """

    application_id: UUID
    name: str
    api_key: str
    signature_secret: str
    create_time: datetime
    update_time: datetime
    event_url: str = ""
    event_method: HttpMethod = HttpMethod.POST
    retention: timedelta = DEFAULT_RETENTION
    max_live_recordings: int = 0
    keys: tuple[ApplicationKey, ...] = ()

    def __repr__(self) -> str:
        """Leave the secret out."""
        return f"Application({self.application_id}, {self.name!r})"
