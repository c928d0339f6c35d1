-- Purpose:    as order_insert.sql, of rows with prefixes
-- Parameters: {table} its name; {rows} places for prefix, key and row, as often as there are rows
INSERT INTO {table} (prefix, key, row) VALUES {rows}
