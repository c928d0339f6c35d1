-- Purpose:    settings for a statement over a store that orders what it gives
SET preserve_insertion_order = false
