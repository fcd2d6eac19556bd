"""When each port of the range was last a service's: where services have ports instead of names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the schema."""
    op.create_table(
        "public_ports",
        sa.Column("port", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("freed", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("port", name=op.f("pk_public_ports")),
    )


def downgrade() -> None:
    """Change it back."""
    op.drop_table("public_ports")
