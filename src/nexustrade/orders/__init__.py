"""The order service: order lifecycle, accounts and risk, partitioned by account."""
