"""A PostgreSQL of the system (the wheel's has no OpenSSL) with TLS, reached by TCP, and the certificates for it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.postgres import short_folder

PASSWORD = "p@ss/w:rd#%?&= UnMiStAkAbLe"
_HBA = """hostssl all by_certificate 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
local all all trust
"""


@dataclass(frozen=True)
class TlsServer:
    """A running server on 127.0.0.1 and the folder of its certificates: ca, other_ca, server, client (.crt, .key)."""

    port: int
    folder: Path

    def file(self, name: str) -> str:
        return str(self.folder / name)


def system_binaries() -> Path | None:
    """The newest PostgreSQL that Debian installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    return found[-1].parent if found and shutil.which("openssl") else None


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def _authority(folder: Path, name: str) -> None:
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"),
    )


def _certificate(folder: Path, name: str, common_name: str, extension: str) -> None:
    (folder / "extension").write_text(extension)
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={common_name}"),
        *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr"),
    )
    _openssl(
        *("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"),
        *("-CAcreateserial", "-days", "2", "-extfile", folder / "extension", "-out", folder / f"{name}.crt"),
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _account() -> dict[str, Any]:
    if os.geteuid():
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def tls_server(binaries: Path) -> Iterator[TlsServer]:
    """Started with TLS required for every connection; users `by_certificate` and `postgres` (with PASSWORD)."""
    folder, account = short_folder(), _account()
    for name in ("ca", "other_ca"):
        _authority(folder, name)
    _certificate(folder, "server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    _certificate(folder, "client", "by_certificate", "extendedKeyUsage=clientAuth")
    (folder / "password").write_text(PASSWORD)
    data, port = folder / "data", _free_port()
    data.mkdir(mode=0o700)
    for path in (data, folder / "server.key", folder / "password", folder):
        os.chown(path, account.get("user", -1), account.get("group", -1))

    def call(*words: str | Path) -> None:
        _quietly([str(w) for w in words], account)

    call(
        binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", folder / "password", "-N"
    )
    (data / "pg_hba.conf").write_text(_HBA)
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        "ssl": "on",
        "ssl_cert_file": folder / "server.crt",
        "ssl_key_file": folder / "server.key",
        "ssl_ca_file": folder / "ca.crt",
        "fsync": "off",
    }
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{key} = '{value}'\n" for key, value in options.items())
    call(binaries / "pg_ctl", "start", "-w", "-D", data, "-l", folder / "log")
    try:
        yield TlsServer(port, folder)
    finally:
        call(binaries / "pg_ctl", "stop", "-m", "immediate", "-w", "-D", data)
        shutil.rmtree(folder)


def _quietly(command: Sequence[str], account: dict[str, Any]) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", **account)
