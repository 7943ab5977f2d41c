"""nginx on loopback addresses, so that what is measured is who fetches, and politeness towards each host stays on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; keepalive_requests 100000;
    types {{ image/jpeg jpg; image/png png; image/webp webp; text/plain txt; }}
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ {listen} root {folder}/www; {rules} }}
}}
"""


def addresses(count: int) -> list[str]:
    """So many addresses of this machine."""
    return [f"127.0.0.{number + 1}" for number in range(count)]


@contextmanager
def nginx(folder: Path, hosts: list[str], port: int, rules: str = "") -> Iterator[None]:
    """Serves `folder/www` at every address until the end of the block; `rules` go into the server's configuration."""
    if not shutil.which("nginx"):
        sys.exit("nginx is needed (Debian: apt install nginx-light)")
    config = folder / "nginx.conf"
    listen = " ".join(f"listen {host}:{port};" for host in hosts)
    user = "user root;" if os.geteuid() == 0 else ""  # the temporary folder is ours alone
    config.write_text(NGINX.format(folder=folder, listen=listen, user=user, rules=rules))
    server = subprocess.Popen(["nginx", "-e", folder / "error.log", "-c", config])
    try:
        _wait_for(hosts[-1], port, server)
        yield
    finally:
        server.terminate()
        server.wait()


def _wait_for(host: str, port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex((host, port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("nginx did not start")


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
        return port
