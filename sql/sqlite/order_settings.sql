-- Purpose:    settings of a temporary database: nobody else sees it, and it need not outlive a run
-- Parameters: {page_bytes} of a page; {cache_kib} what pages may take, and again what a sort may
-- No order needs a temporary file beside the database; see order/sqlite.py.
PRAGMA page_size = {page_bytes};
PRAGMA cache_size = -{cache_kib};
PRAGMA temp_store = FILE;
PRAGMA mmap_size = 0;
PRAGMA threads = 0;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA secure_delete = OFF;
PRAGMA auto_vacuum = NONE;
