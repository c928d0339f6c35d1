"""The peer `spark-sql`: what a user gets from Spark SQL and nothing else, on two cores.

    python spark_alone.py INPUT OUTPUT MEMORY_BYTES

`orderBy(rand())` over `spark.read.text`, written as text: the heap has all of the memory. It is
approximate: ties of the random number, empty lines, CR, invalid UTF-8 and retried tasks aside, it
is a shuffle, but no two runs on different splits give the same one.
"""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import rand


def main(source: str, output: str, memory_bytes: int) -> None:
    """Shuffle `source` into files in `output`."""
    builder = SparkSession.builder.master("local[2]").appName("spark-sql")
    for key, value in (
        ("spark.driver.memory", f"{memory_bytes >> 20}m"),
        ("spark.ui.enabled", "false"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.local.dir", output + ".temp"),
    ):
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.read.text(source).orderBy(rand(42)).write.text(output)
    session.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
