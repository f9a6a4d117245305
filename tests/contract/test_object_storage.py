"""Our reader of object storage against the simulator, and the simulator against the AWS client that pyarrow brings."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event

import pytest
from pyarrow import fs

from tests.support.rest import FIRST, LAST, history
from tickerplant.credentials import Credentials, Secret
from tickerplant.errors import BadData, Busy
from tickerplant.net.objects import ObjectClient, Refused, Stopped
from tickerplant.rest import Account
from tickerplant.simulator.rest import RestOptions, RestServers, serving
from tickerplant.vendors.polygon.flat_sign import sign_get

KNOWN = history(40)
KEYS = Credentials("AKIA-FLAT", Secret("flat-secret/+x"))
MONTH = "us_stocks_sip/day_aggs_v1/2025/10/"
PATH = f"/flatfiles/{MONTH}2025-10-15.csv.gz"


@contextmanager
def host(bytes_per_s: float | None = None) -> Iterator[RestServers]:
    account = Account(key=KEYS.key, secret=KEYS.secret, tables=frozenset({"daily_bars"}))
    with serving(KNOWN, RestOptions(("polygon",), account=account, bytes_per_s=bytes_per_s)) as servers:
        yield servers


def reader(servers: RestServers, folder: Path, keys: Credentials = KEYS) -> ObjectClient:
    return ObjectClient(servers.urls["polygon"], keys, sign_get, folder, tries=2)


def aws(servers: RestServers, secret: str = KEYS.secret.reveal()) -> fs.S3FileSystem:
    place = servers.urls["polygon"].removeprefix("http://")
    return fs.S3FileSystem(
        access_key=KEYS.key, secret_key=secret, endpoint_override=place, scheme="http", region="us-east-1"
    )


def test_ours_and_the_aws_client_see_the_same(tmp_path: Path) -> None:
    with host() as servers, reader(servers, tmp_path) as ours:
        listed = ours.list("flatfiles", MONTH)
        theirs = aws(servers)
        seen = theirs.get_file_info(fs.FileSelector(f"flatfiles/{MONTH}"))
        assert sorted((f"flatfiles/{f.key}", f.size) for f in listed) == sorted((f.path, f.size) for f in seen)
        assert len(listed) == 23
        stored = ours.download(PATH, Event())
        with theirs.open_input_stream(PATH[1:], compression=None) as file:
            assert stored.path.read_bytes() == file.read()
        with theirs.open_input_file(PATH[1:]) as file:
            file.seek(10)
            assert file.read(20) == stored.path.read_bytes()[10:30]
        assert {f.etag for f in listed if PATH.endswith(f.key)} == {stored.etag}


def test_folders_and_refusals_as_aws_reads_them() -> None:
    with host() as servers:
        theirs = aws(servers)
        top = theirs.get_file_info(fs.FileSelector("flatfiles/us_stocks_sip"))
        assert [(f.base_name, f.type) for f in top] == [("day_aggs_v1", fs.FileType.Directory)]
        absent = theirs.get_file_info(f"flatfiles/{MONTH}2025-10-18.csv.gz")
        assert absent.type == fs.FileType.NotFound
        with pytest.raises(OSError, match=r"ACCESS_DENIED|SIGNATURE|403"):
            aws(servers, "wrong").open_input_stream(PATH[1:])


def test_ours_is_told_why_not(tmp_path: Path) -> None:
    with host() as servers:
        with reader(servers, tmp_path) as ours:
            with pytest.raises(Refused) as absent:
                ours.download(f"/flatfiles/{MONTH}2025-10-18.csv.gz", Event())
            with pytest.raises(Refused) as other:
                ours.download(PATH.replace("day_aggs", "quotes"), Event())
        with reader(servers, tmp_path, Credentials(KEYS.key, Secret("wrong"))) as ours, pytest.raises(Refused) as wrong:
            ours.list("flatfiles", MONTH)
    codes = [e.value.answer for e in (absent, other, wrong)]
    assert [a.status for a in codes] == [404, 403, 403]
    assert [b"NoSuchKey" in codes[0].body, b"AccessDenied" in codes[1].body] == [True, True]
    assert b"SignatureDoesNotMatch" in codes[2].body


def test_a_download_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    with host() as servers, reader(servers, tmp_path) as ours:
        whole = ours.download(PATH, Event())
        content = whole.path.read_bytes()
        part = whole.path.with_name(whole.path.name + ".part")
        whole.path.rename(part)
        part.write_bytes(content[:100])
        before = ours.traffic.bytes
        assert ours.download(PATH, Event()).path.read_bytes() == content
        assert ours.traffic.bytes - before == len(content) - 100
        calls = ours.traffic.calls
        assert ours.download(PATH, Event()) == whole
        assert ours.traffic.calls == calls, "what is on disk is not asked for"
        whole.path.rename(part)
        assert ours.download(PATH, Event()) == whole, "whole, but not named so before the end"


def test_a_part_of_another_version_or_with_wrong_bytes_is_thrown_away(tmp_path: Path) -> None:
    with host() as servers, reader(servers, tmp_path) as ours:
        whole = ours.download(PATH, Event())
        content = whole.path.read_bytes()
        name = whole.path.name.replace(whole.etag, "0" * 32)
        whole.path.rename(tmp_path / f"{name}.part")
        assert ours.download(PATH, Event()).path.read_bytes() == content
        whole.path.rename(tmp_path / f"{whole.path.name}.part")
        (tmp_path / f"{whole.path.name}.part").write_bytes(b"x" * 100)
        with pytest.raises(BadData, match="expected MD5"):
            ours.download(PATH, Event())
        assert ours.download(PATH, Event()).path.read_bytes() == content


def test_two_do_not_download_the_same_at_once(tmp_path: Path) -> None:
    with host() as servers, reader(servers, tmp_path) as ours:
        with (tmp_path / f"{PATH[1:].replace('/', '_')}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(Busy, match="expected to be the only one"):
                ours.download(PATH, Event())
        assert ours.download(PATH, Event()).size > 0


def test_a_stop_keeps_what_came(tmp_path: Path) -> None:
    stop = Event()
    with host() as servers, reader(servers, tmp_path) as ours:
        stop.set()
        with pytest.raises(Stopped):
            ours.download(PATH, stop)
        (part,) = tmp_path.glob("*.part")
        assert part.stat().st_size > 0
        assert ours.download(PATH, Event()).size == part.with_name(part.name.removesuffix(".part")).stat().st_size


def test_no_file_before_it_is_published(tmp_path: Path) -> None:
    with host() as servers, reader(servers, tmp_path) as ours:
        at = datetime(2025, 10, 16, 14, 59, tzinfo=UTC)
        servers.sides["polygon"].clock = at.timestamp
        ours.clock = lambda: at
        with pytest.raises(Refused):
            ours.download(PATH, Event())
        assert [f.key[-17:-7] for f in ours.list("flatfiles", MONTH)][-1] == "2025-10-14"
        assert (date(2025, 10, 1), date(2025, 11, 20)) == (FIRST, LAST)
