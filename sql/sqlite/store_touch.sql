-- Purpose:    note the new time of change of an input whose bytes are the same
-- Parameters: :ordinal, :changed_ns
UPDATE sources SET changed_ns = :changed_ns WHERE ordinal = :ordinal
