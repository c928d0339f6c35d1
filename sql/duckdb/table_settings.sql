-- Purpose:    settings of a database file that is read; its limits are given as it is opened.
-- The time zone is fixed, so that casts give the same on every machine. What is closed here
-- cannot be opened again.
SET TimeZone = 'UTC';
SET enable_external_access = false
