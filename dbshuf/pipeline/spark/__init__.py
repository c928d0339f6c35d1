"""One shuffle on Spark: it moves rows by ranges of the key, sorts them, and runs lost tasks again.

    driver   plan -> Job, a broadcast                                    run.py, session.py
    first    of a weighted order: where its ranges begin                 count.py, count_task.py
    stage 1  a split -> rows with (bucket, key)   `mapInArrow`           read_task.py
             repartitionById(bucket), sortWithinPartitions(key)          Spark's own
    between  of rows that are spread: a range of values -> rows by their slots  slot_task.py,
             and repartitionById(bucket), sortWithinPartitions(key) again
    stage 2  a range of the order -> a shard, or a file of sorted rows   write_task.py
    driver   checks what all tasks counted, publishes once               commit.py

Of several epochs each is such a job, in one session, and all are published at the end.

Readers, SQL, keys and encoders are those of any other run. Nothing is random, numbered or
sampled on the way: a task that is run again gives the same rows to the same bucket. Only
session.py, run.py and daemon.py import pyspark.
"""
