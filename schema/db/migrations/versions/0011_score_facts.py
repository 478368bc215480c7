"""what the score of a build was reckoned with; every open build gets its score again, in the background."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("builds", sa.Column("behind", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("builds", sa.Column("native", sa.Boolean(), nullable=True))
    # As after new weights (``master.rescore``): the mark names none that hold.
    op.execute("UPDATE marks SET etag = '' WHERE name = 'score'")
