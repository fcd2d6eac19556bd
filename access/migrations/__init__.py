"""Alembic's migrations of the access server's database; run them with `panelgate access migrate`."""
