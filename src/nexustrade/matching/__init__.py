"""The matching service: order books, partitioned by symbol."""
