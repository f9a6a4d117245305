"""The few calls to Kinesis that a log makes, with the service's errors in our words. Blocking; safe between threads.

botocore brings signing, credentials and endpoints; trying again is ours, so its own retries are off.
Source of calls and errors: https://docs.aws.amazon.com/kinesis/latest/APIReference/Welcome.html (read 2026-11-21).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from tickerplant.errors import Fatal, Retryable, TickerplantError, UsageError
from tickerplant.logs.kinesis.options import KinesisOptions

_THROTTLED = frozenset(
    (
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "ThrottlingException",
        "Throttling",
        "KMSThrottlingException",
        "ResourceInUseException",
    )
)
_PLACED = ("get_shard_iterator", "get_records")
_PASSING = frozenset(("InternalFailure", "InternalFailureException", "ServiceUnavailable", "ExpiredTokenException"))


class Throttled(Retryable):
    """The service asks for less."""


class ExpiredIterator(Retryable):
    """A shard iterator is older than five minutes."""


class BadPlace(Fatal):
    """A sequence number that the shard does not know, or a shard or stream that is gone."""


@dataclass(frozen=True)
class Shard:
    """A shard and the part `[first, last]` of the hash space that it holds. `parents` are those it was made of."""

    id: str
    first: int
    last: int
    parents: tuple[str, ...]


class Put(NamedTuple):
    """One record to send."""

    data: bytes
    key: str
    hash_key: int


class Got(NamedTuple):
    """Records of a shard, `(sequence number, data)`, in order. `following` None: the shard has ended for good."""

    records: list[tuple[str, bytes]]
    following: str | None
    behind_ms: int


class Service:
    """One stream. Every call raises Retryable (Throttled) for what passes and Fatal for what does not."""

    def __init__(self, options: KinesisOptions) -> None:
        self.stream = options.stream
        self._client = _client(options)

    def _call(self, name: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        action: Callable[..., Any] = getattr(self._client, name)
        try:
            return action(StreamName=self.stream, **arguments) if name != "get_records" else action(**arguments)
        except ClientError as error:
            raise self._problem(name, error.response) from None
        except BotoCoreError as error:
            raise _local_problem(f"kinesis stream {self.stream} {name}", error) from error

    def _problem(self, name: str, answer: Any) -> TickerplantError:
        code, said = str(answer["Error"].get("Code", "")), str(answer["Error"].get("Message", ""))
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        text = f"kinesis stream {self.stream} {name}: expected an answer, was {code} {said[:200]}".rstrip()
        if code == "ExpiredIteratorException":
            return ExpiredIterator(text)
        if name in _PLACED and code in ("InvalidArgumentException", "ResourceNotFoundException"):
            return BadPlace(text)
        if code in _THROTTLED or status == 429:
            return Throttled(text)
        if code in _PASSING or status >= 500:
            return Retryable(text)
        return Fatal(f"{text}; see docs/kinesis.md for the rights that are needed")

    def put(self, records: Sequence[Put]) -> list[str | None]:
        """Send records; for each the error code with which it was refused, None when it is stored."""
        found = self._call(
            "put_records",
            Records=[{"Data": r.data, "PartitionKey": r.key, "ExplicitHashKey": str(r.hash_key)} for r in records],
        )
        return [answer.get("ErrorCode") for answer in found["Records"]]

    def shards(self) -> list[Shard]:
        """All shards that still hold records, open and closed."""
        found: list[Any] = []
        arguments: dict[str, Any] = {}
        while True:
            answer = self._call("list_shards", **arguments)
            found += answer["Shards"]
            if not answer.get("NextToken"):
                return [_shard(shard) for shard in found]
            # With a token the service wants no stream name; a stream of more than 1,000 shards is not ours.
            raise Fatal(f"kinesis stream {self.stream}: expected at most 1,000 shards, was more")

    def iterator(self, shard: str, *, after: str | None = None, at_s: float | None = None) -> str:
        """An iterator behind a sequence number, from a time (s since 1970), or from the oldest record there is."""
        where: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if after is not None:
            where = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        elif at_s is not None:
            where = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": datetime.fromtimestamp(at_s, UTC)}
        return str(self._call("get_shard_iterator", ShardId=shard, **where)["ShardIterator"])

    def get(self, iterator: str) -> Got:
        """The next records behind an iterator, 10 MiB at most."""
        answer = self._call("get_records", ShardIterator=iterator)
        records = [(str(r["SequenceNumber"]), bytes(r["Data"])) for r in answer["Records"]]
        return Got(records, answer.get("NextShardIterator"), int(answer.get("MillisBehindLatest") or 0))

    def tags(self) -> dict[str, str]:
        """The stream's tags."""
        return {t["Key"]: t.get("Value", "") for t in self._call("list_tags_for_stream")["Tags"]}

    def tag(self, key: str, value: str) -> None:
        """Set one tag."""
        self._call("add_tags_to_stream", Tags={key: value})

    def close(self) -> None:
        """Release connections; idempotent."""
        self._client.close()


@cache
def session() -> Any:
    """The botocore session of this process: its descriptions of services take a second to read."""
    import botocore.session

    return botocore.session.get_session()


def _client(options: KinesisOptions) -> Any:
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise UsageError(
            "kinesis://: expected botocore, was not installed; do: pip install tickerplant[kinesis]"
        ) from None
    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=options.timeout_s,
        read_timeout=options.timeout_s,
        tcp_keepalive=True,
        max_pool_connections=4,
    )
    given = options.keys
    keys = (
        {
            "aws_access_key_id": given.key,
            "aws_secret_access_key": given.secret.reveal(),
            "aws_session_token": given.token.reveal() or None,
        }
        if given
        else {}
    )
    try:
        return session().create_client(
            "kinesis", region_name=options.region, endpoint_url=options.endpoint, config=config, **keys
        )
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"kinesis stream {options.stream}: expected AWS_REGION and keys, was {error}") from None


def _local_problem(where: str, error: Exception) -> TickerplantError:
    """A failure on our side of the line: no connection passes, no credentials does not."""
    from botocore.exceptions import HTTPClientError, NoCredentialsError, ParamValidationError, PartialCredentialsError

    if isinstance(error, NoCredentialsError | PartialCredentialsError | ParamValidationError):
        return Fatal(f"{where}: expected AWS credentials, was {error}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    what = "no connection" if isinstance(error, HTTPClientError) else type(error).__name__
    return Retryable(f"{where}: expected an answer, was {what} ({error})")


def _shard(found: Any) -> Shard:
    span = found["HashKeyRange"]
    parents = tuple(found[k] for k in ("ParentShardId", "AdjacentParentShardId") if found.get(k))
    return Shard(found["ShardId"], int(span["StartingHashKey"]), int(span["EndingHashKey"]), parents)
