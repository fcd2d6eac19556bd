"""The rows: one module per subject. Everything but the installation's own tables belongs to an account."""
