"""All tables in one place: what a migration is compared with."""

from __future__ import annotations

from access.models import audit, machines, people
from access.models.base import Base

MODULES = (audit, machines, people)
metadata = Base.metadata
