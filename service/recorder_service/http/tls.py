"""Certificate and key of an HTTPS server."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from recorder_service.errors import Reason, StartupError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate with its chain, and its private key."""

    certificate: Path
    private_key: Path

    def context(self) -> ssl.SSLContext:
        """Load them, for TLS 1.2 and later.

        Raises:
            StartupError: INVALID_CONFIGURATION: they cannot be read or do not go together.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.private_key)
        except OSError as error:
            raise StartupError(
                Reason.INVALID_CONFIGURATION,
                f"TLS files {self.certificate} and {self.private_key} cannot be used ({error}): "
                f"give a PEM certificate chain and its private key",
                details={"field": "http.tls", "value": str(self.certificate)},
            ) from error
        return context
