-- Purpose:    settings for adding to a store: one program alone, and what is committed is on disk
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = FULL;
