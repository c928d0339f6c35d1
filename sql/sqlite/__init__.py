"""SQL for SQLite."""
