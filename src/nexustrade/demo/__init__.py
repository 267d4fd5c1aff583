"""The demo market: seeded makers and noise traders with ordinary accounts (README.md)."""
