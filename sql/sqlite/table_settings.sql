-- Purpose:    a setting of a database file that is read: what its views call has to be safe.
PRAGMA trusted_schema = OFF
