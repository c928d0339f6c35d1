"""SQL that dbshuf runs, a folder an engine; loaded by `dbshuf.base.statements`."""
