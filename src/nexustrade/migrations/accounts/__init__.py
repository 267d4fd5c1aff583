"""The schema of the `accounts` database."""
