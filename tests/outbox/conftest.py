"""The outbox of a fresh database, and servers of a test's own."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from outbox.receivers import FAR, SECRET, Mailbox, Post, Receiver, Sql, served

from pixcrawler.services import free_port


@pytest.fixture
def mail_server() -> Iterator[Callable[..., Mailbox]]:
    """`mail_server(tls_context=…)`: a running one, as `aiosmtpd` is told to be."""
    running = []
    logging.getLogger("mail.log").setLevel("ERROR")  # the server's: it is ours that is looked at

    def start(**options: Any) -> Mailbox:
        mailbox = Mailbox(port=free_port())
        controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, **options)
        controller.start()
        running.append(controller)
        return mailbox

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the key and the certificate of `FAR`, which nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, FAR)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(FAR)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *plain) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """What a server needs to encrypt."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with served(Receiver()) as receiver:
        yield receiver


@pytest.fixture
def post(database_url: str, sql: Sql) -> Post:
    return Post(database_url, sql)


@pytest.fixture
def mailbox(mail_server: Callable[..., Mailbox], settings_env: Callable[..., None]) -> Mailbox:
    """The mail server of this test's settings."""
    mailbox = mail_server()
    settings_env(
        PIXCRAWLER_SMTP_URL=f"smtp://127.0.0.1:{mailbox.port}",
        PIXCRAWLER_MAIL_FROM="PixCrawler <crawler@pix.example>",
        PIXCRAWLER_SITE_URL="https://pix.example",
    )
    return mailbox


@pytest.fixture
def hook(receiver: Receiver, settings_env: Callable[..., None]) -> Receiver:
    """The webhook of this test's settings."""
    settings_env(PIXCRAWLER_WEBHOOK_URL=receiver.url, PIXCRAWLER_WEBHOOK_SECRET=SECRET)
    return receiver
