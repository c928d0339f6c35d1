-- Purpose:    memory of blocks that were written is used for the next ones
-- Parameters: {size} bytes that may be kept so, quoted
SET block_allocator_memory = {size}
