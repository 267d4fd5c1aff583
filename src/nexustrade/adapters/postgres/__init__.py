"""The event store on PostgreSQL, and a private PostgreSQL server that comes with the package."""
