"""Azurite, Microsoft's emulator of Azure Blob Storage, on 127.0.0.1 and in memory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from npm import install

from pixcrawler.config import Config

FOLDER = Path(__file__).with_name("azurite")
PROGRAM = FOLDER / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNT = "devstoreaccount1"
# Known to everybody: the emulator's documentation names it.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SAID = "successfully listens on "


class Azurite(NamedTuple):
    """A running emulator."""

    address: str  # http://127.0.0.1:<port>

    def environment(self, container: str, address: str | None = None) -> dict[str, str]:
        """The settings for a pair of containers of one's own, perhaps reached by a proxy's address."""
        return {
            "PIXCRAWLER_STORAGE": "azure",
            "AZURE_STORAGE_CONNECTION_STRING": connection_string(address or self.address),
            "AZURE_BLOB_CONTAINER_NAME": container,
            "AZURE_WARM_CONTAINER_NAME": f"{container}-warm",
        }

    def settings(self, container: str, address: str | None = None, **more: Any) -> Config:
        """The same as `Config`."""
        named = {
            name.lower().removeprefix("pixcrawler_"): value
            for name, value in self.environment(container, address).items()
        }
        return Config(**named, **more)


def connection_string(address: str, key: str = ACCOUNT_KEY) -> str:
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={address}/{ACCOUNT};"


@contextmanager
def azurite() -> Iterator[Azurite]:
    """A running emulator, with nothing in it."""
    install(FOLDER)
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent", "--blobPort", "0"]
    process = subprocess.Popen(["node", PROGRAM, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout as lines:
        try:
            address = next(line.partition(SAID)[2].strip() for line in lines if SAID in line)
            yield Azurite(address)
        finally:
            process.kill()
            process.wait()
