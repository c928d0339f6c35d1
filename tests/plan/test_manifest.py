"""What a manifest keeps of options: what was given, and no secret."""

from dbshuf.options import Options
from dbshuf.plan.manifest import given_options


def test_options_are_as_given_and_secrets_are_not_among_them():
    options = Options(
        inputs=("https://user:pass@host/a.txt?sig=abc", "corpus/"),
        output="s3://bucket/out/",
        shards=4,
        engine="spark",
        spark_conf=(
            "spark.hadoop.fs.s3a.secret.key=abc",
            "spark.hadoop.fs.s3a.access.key=def",
            "spark.ssl.keyPassword=ghi=j",
            "spark.executor.cores=4",
        ),
    )
    assert given_options(options) == {
        "inputs": ["https://host/a.txt", "corpus/"],
        "output": "s3://bucket/out/",
        "shards": 4,
        "engine": "spark",
        "spark_conf": [
            "spark.hadoop.fs.s3a.secret.key=(redacted)",
            "spark.hadoop.fs.s3a.access.key=(redacted)",
            "spark.ssl.keyPassword=(redacted)",
            "spark.executor.cores=4",
        ],
    }
