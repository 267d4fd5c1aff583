"""The innermost layer: money, ids, time, errors, codec. Knows no service and no technology."""
