"""How many images a second, and how much CPU for each: `scrapy crawl urls` beside Scrapy's own ImagesPipeline.

Both fetch the same JPEGs of about 70 kB from nginx on several loopback addresses, by turns, each time into an empty
folder. Start-up and end are part of the time; CPU is that of the whole process tree. Needs nginx and Linux:
`.venv/bin/python benchmarks/throughput.py`; the figures also go to `--json FILE`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
SIZE = (1024, 768)
QUALITY = 85  # with the grain: about 70 kB
GRAIN = 1.8  # grey levels

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; {user}
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; keepalive_requests 100000; types {{ image/jpeg jpg; text/plain txt; }}
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ {listen} root {folder}/www; }}
}}
"""


@dataclass(frozen=True)
class Result:
    """One crawl."""

    who: str
    images: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.cpu_seconds / self.images


def make_images(folder: Path, count: int) -> None:
    """Soft random shapes under grain: compressible like photographs, and no two alike."""
    grain = np.random.default_rng(0).normal(0, GRAIN, (SIZE[1], SIZE[0], 1))
    folder.mkdir(parents=True)
    for number in range(count):
        shapes = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(shapes).resize(SIZE, Image.Resampling.BICUBIC), dtype=np.float32)
        body = BytesIO()
        Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8)).save(body, "jpeg", quality=QUALITY)
        (folder / f"{number:06d}.jpg").write_bytes(body.getvalue())


@contextmanager
def nginx(folder: Path, addresses: list[str], port: int) -> Iterator[None]:
    """Serves `folder/www` on every address until the end of the block."""
    config = folder / "nginx.conf"
    listen = " ".join(f"listen {address}:{port};" for address in addresses)
    user = "user root;" if os.geteuid() == 0 else ""  # the temporary folder is ours alone
    config.write_text(NGINX.format(folder=folder, listen=listen, user=user))
    server = subprocess.Popen(["nginx", "-e", folder / "error.log", "-c", config])
    try:
        wait_for(addresses[-1], port, server)
        yield
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str, port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with socket.socket() as client:
            if client.connect_ex((address, port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("nginx did not start")


def free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
        return port


def measured(who: str, command: list[str], out: Path, environment: dict[str, str]) -> Result:
    """Runs a crawl to its end and counts what it stored in `out`."""
    shutil.rmtree(out, ignore_errors=True)
    log_file = out.parent / f"{who}.log"
    reaper = [sys.executable, str(ROOT / "benchmarks" / "reaper.py"), *command]
    with log_file.open("wb") as log:
        ended = subprocess.run(reaper, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=log)
    used = json.loads(ended.stdout)
    images = sum(1 for _ in out.rglob("*.jpg"))
    if used["status"] or not images:
        sys.exit(f"{who} failed:\n{log_file.read_text()[-2000:]}")
    return Result(who, images, used["seconds"], used["cpu_seconds"])


def compare(folder: Path, images: int, rounds: int, hosts: int) -> list[Result]:
    addresses = [f"127.0.0.{number + 1}" for number in range(hosts)]
    port = free_port()
    make_images(folder / "www" / "images", images)
    urls = [f"http://{addresses[n % hosts]}:{port}/images/{n:06d}.jpg" for n in range(images)]
    list_file = folder / "www" / "list.txt"
    list_file.write_text("".join(f"{url}\n" for url in urls))
    ours = [sys.executable, "-m", "scrapy", "crawl", "urls", "-a", f"list={list_file}"]
    stock = [sys.executable, str(ROOT / "benchmarks" / "stock.py"), f"http://{addresses[0]}:{port}/list.txt"]
    environment = {"PIXCRAWLER_ALLOW_HOSTS": "127.0.0.0/8", "PIXCRAWLER_DATA_DIR": str(folder / "ours")}
    results = []
    with nginx(folder, addresses, port):
        for _ in range(rounds):
            results.append(measured("pixcrawler", ours, folder / "ours", environment))
            results.append(measured("stock", [*stock, str(folder / "stock")], folder / "stock", {}))
    return results


def show(results: list[Result]) -> None:
    print(f"{'':12}{'images':>8}{'images/s':>10}{'CPU ms/image':>14}   (medians of {len(results) // 2})")
    for who in dict.fromkeys(result.who for result in results):
        own = [result for result in results if result.who == who]
        rate, cpu = median(result.rate for result in own), median(result.cpu_ms for result in own)
        print(f"{who:12}{own[0].images:>8}{rate:>10.0f}{cpu:>14.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=8, help="loopback addresses that serve")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    if not shutil.which("nginx"):
        sys.exit("nginx is needed (Debian: apt install nginx)")
    with TemporaryDirectory(prefix="pixcrawler-benchmark-") as name:
        results = compare(Path(name), asked.images, asked.rounds, asked.hosts)
        size = sum(path.stat().st_size for path in Path(name, "www", "images").iterdir()) / asked.images
    show(results)
    print(f"{size / 1000:.0f} kB an image, {asked.hosts} hosts, {os.cpu_count()} cores")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


if __name__ == "__main__":
    main()
