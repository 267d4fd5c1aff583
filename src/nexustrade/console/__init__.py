"""The commands of `nexustrade`, one module a group; each is imported when it is called."""
