-- Purpose:    settings for a store, which anybody may have written
-- Parameters: {cache_kib} that its pages may take
PRAGMA trusted_schema = OFF;
PRAGMA cell_size_check = ON;
PRAGMA cache_size = -{cache_kib};
PRAGMA temp_store = MEMORY;
PRAGMA mmap_size = 0;
