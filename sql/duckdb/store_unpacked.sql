-- Purpose:    text is kept as it is; numbers are packed as ever
SET disabled_compression_methods = 'dictionary,fsst,dict_fsst,zstd'
