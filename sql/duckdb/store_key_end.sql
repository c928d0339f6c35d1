-- Purpose:    the last step of the splitmix64 finalizer, see key.sql
-- Parameters: {x} UBIGINT, twice
xor({x}, {x} >> 31)
