-- Purpose:    one of the words of a seed: eight bytes of its SHA-256, the lowest first
-- Parameters: {first} where they begin in the hexadecimal digits, from 1
('0x' || regexp_replace(substr(sha256('dbshuf-order-1:' || seed::VARCHAR), {first}, 16),
'(..)(..)(..)(..)(..)(..)(..)(..)', '\8\7\6\5\4\3\2\1'))::UBIGINT
