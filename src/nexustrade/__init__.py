"""NexusTrade: a self-hostable trading venue and brokerage."""

__version__ = "0.1.0"
