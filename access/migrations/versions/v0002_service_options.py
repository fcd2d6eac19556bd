"""Options of web services, and a port of their own where there is no wildcard name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""
    with op.batch_alter_table("services", schema=None) as batch_op:
        # The default is for the rows that are there; new rows bring their own.
        batch_op.add_column(sa.Column("options", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("public_port", sa.Integer(), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_services_public_port"), ["public_port"])
    with op.batch_alter_table("services", schema=None) as batch_op:
        batch_op.alter_column("options", server_default=None)


def downgrade() -> None:
    """Change it back."""
    with op.batch_alter_table("services", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_services_public_port"), type_="unique")
        batch_op.drop_column("public_port")
        batch_op.drop_column("options")
