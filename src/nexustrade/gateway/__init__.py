"""The REST and WebSocket gateway."""
