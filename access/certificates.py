"""Certificates of panels that the agent refused, as the audit has them: both fingerprints, and not without end."""

from __future__ import annotations

import json
import re
from typing import Final

from access import audit, service_sessions
from access.db import Store
from access.models.audit import AuditRow
from access.sessions import Limits
from panelgate.errors import BadInput

ACTION: Final = "service.certificate_refused"
AGAIN_SECONDS: Final = 3600.0  # a page that reloads itself all night makes one row an hour
# A panel that shows another certificate each time would write the audit full; the first ones say what is going on.
HOURLY_LIMIT: Final = 10
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def refused(store: Store, limits: Limits, *, token: str, host_label: str, fingerprint: str) -> bool:
    """Note that the agent refused the certificate with this SHA-256 (hex) at a service; whether a row was written.

    Refused(no_session). BadInput: bad_fingerprint, wrong_purpose for a service that has no certificate.
    """
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise BadInput("bad_fingerprint", "A fingerprint is 64 hexadecimal digits.", {})
    held = service_sessions.look_up(store, limits, token, host_label, active=False)
    service = held.service
    if service.protocol != "https":
        raise BadInput("wrong_purpose", "This service has no certificate.", {"protocol": service.protocol})
    with store.account(held.account.id, write=True) as unit:
        recent = unit.all(
            AuditRow, AuditRow.action == ACTION, AuditRow.device_id == held.device.id,
            AuditRow.service == service.slug, AuditRow.time > unit.now - AGAIN_SECONDS, limit=HOURLY_LIMIT,
        )  # fmt: skip
        known = any(json.loads(row.facts).get("shown") == fingerprint for row in recent)
        if known or len(recent) >= HOURLY_LIMIT:
            return False
        audit.append(
            unit, ACTION, result="refused", user_id=held.user.id, user=held.user.name, device_id=held.device.id,
            device=held.device.slug, service=service.slug,
            facts={"shown": fingerprint, "pinned": service.tls_pin, "verify": service.tls_verify},
        )  # fmt: skip
        return True
