-- Purpose:    a step of the splitmix64 finalizer, see key.sql
-- Parameters: {x} UBIGINT, twice; {shift}; {multiplier}
((xor({x}, {x} >> {shift})::UHUGEINT * {multiplier}) & 18446744073709551615::UHUGEINT)::UBIGINT
