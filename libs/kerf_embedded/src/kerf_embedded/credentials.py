"""The secrets of one embedded stack: drawn once, kept beside its data."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from kerf_core.auth import new_api_key
from kerf_core.errors import FailedPrecondition
from kerf_embedded.files import write_private


@dataclass(frozen=True)
class Credentials:
    """Users and secrets. All are letters, digits, `-` and `_`, so that no file format needs quoting."""

    nats_user: str
    nats_password: str = field(repr=False)
    nats_system_user: str
    nats_system_password: str = field(repr=False)
    s3_access_key: str
    s3_secret_key: str = field(repr=False)
    s3_internal_key: str = field(repr=False)
    """Signs the requests between the parts of the S3 server."""
    api_key: str = field(repr=False)
    """What clients show to the gateway; the stack's bootstrap stores its hash."""

    @classmethod
    def draw(cls) -> Credentials:
        """New random ones, 256 bit each."""
        return cls(
            nats_user="kerf",
            nats_password=secrets.token_urlsafe(32),
            nats_system_user="system",
            nats_system_password=secrets.token_urlsafe(32),
            s3_access_key="KERF" + secrets.token_hex(8).upper(),
            s3_secret_key=secrets.token_urlsafe(32),
            s3_internal_key=secrets.token_urlsafe(32),
            api_key=new_api_key(),
        )


def load_or_draw(path: Path) -> Credentials:
    """Read the credentials in `path` (mode 0600), or draw and keep new ones.

    They outlive a run, so that a key that somebody copied still works after a restart. Raises FailedPrecondition
    (CREDENTIALS_UNREADABLE) if the file is there but makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        drawn = Credentials.draw()
        write_private(path, json.dumps(asdict(drawn), indent=2) + "\n")
        return drawn
    try:
        content = json.loads(text)
        return Credentials(**{entry.name: str(content[entry.name]) for entry in fields(Credentials)})
    except (ValueError, KeyError, TypeError):
        raise FailedPrecondition(
            "CREDENTIALS_UNREADABLE", f"{path} is damaged: delete the file, and new credentials will be drawn"
        ) from None
