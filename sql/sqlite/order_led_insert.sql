-- Purpose:    as order_insert.sql, of rows with leads
-- Parameters: {table} its name; {rows} places for lead, key and row, as often as there are rows
INSERT INTO {table} (lead, key, row) VALUES {rows}
