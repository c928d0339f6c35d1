-- Purpose:    settings of one connection: no progress bar, which would go to standard output
SET enable_progress_bar = false
