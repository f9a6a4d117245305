"""The log on Amazon Kinesis Data Streams: `kinesis://<stream>`; see `docs/kinesis.md`."""
