"""Rows to a Parquet file; lines are its one column `line`."""

import pyarrow as pa
import pyarrow.parquet as pq

from dbshuf.errors import RowUnfit
from dbshuf.sink.ahead import Beside
from dbshuf.sink.columnar import PIECE_BYTES, Columnar, Groups, Pieces, marked
from dbshuf.sink.formats import codec_of
from dbshuf.sink.raw import ByteOutput
from dbshuf.sink.records import records_of
from dbshuf.sink.target import Target, row_group_bytes

# As by default in pyarrow; DuckDB's groups have 122,880 rows, 16 MiB are 114,000 lines of
# 147 bytes.
ROW_GROUP_ROWS = 1 << 20


class ParquetEncoder(Columnar):
    """One Parquet file, its dictionaries and statistics as pyarrow makes them by default.

    Random order leaves little to prune, but values may repeat. For lines of 147 bytes
    the dictionary that is tried and the statistics cost 3 % of the time and 0.3 % of the
    size; of 9 bytes 13 and 1.8 %; of 3 kB 1 and 0.6 %; of 24 kB nothing. A group has 8 kB
    of footer at most a column: pyarrow leaves out what is longer than 4 kB (pyarrow
    26.0.1, 256 MiB of text). DELTA_LENGTH_BYTE_ARRAY made files 0.5-16 % smaller, and
    3 % more work.
    """

    def __init__(self, output: ByteOutput, target: Target) -> None:
        records = records_of(target)
        thread = Beside(depth=1)
        groups = Groups(
            records,
            group_bytes=row_group_bytes(target),
            group_rows=ROW_GROUP_ROWS,
            piece_bytes=PIECE_BYTES,
        )
        super().__init__(output, groups, thread, _Writer(thread, records.schema, target))


class _Writer:
    """pyarrow's writer, one group a call."""

    def __init__(self, thread: Beside, schema: pa.Schema, target: Target) -> None:
        codec, level = codec_of("parquet", target.compression)
        schema = schema.with_metadata(marked(schema, target))
        self._file = pq.ParquetWriter(thread, schema, compression=codec, compression_level=level)

    def write(self, pieces: Pieces) -> None:
        rows = pa.Table.from_batches(pieces)
        try:
            self._file.write_table(rows, row_group_size=rows.num_rows)
        except pa.ArrowInvalid as error:  # a value beyond 2 GiB, a second beyond its milliseconds
            raise RowUnfit(f"Parquet cannot hold a row: {error}") from error

    def close(self) -> None:
        self._file.close()
