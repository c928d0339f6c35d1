-- Purpose:    append a row
-- Parameters: {columns} their names, the id and the source first; {places} as many `?`
INSERT INTO lines ({columns}) VALUES ({places})
