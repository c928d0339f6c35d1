-- Purpose:    settings for reading a store that anybody may have written
-- The time zone is fixed, so that times come out the same on every machine.
SET GLOBAL TimeZone = 'UTC';
SET GLOBAL enable_external_access = false
