"""The schema of the `trading` database."""
