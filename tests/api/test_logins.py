"""Who gets in, who does not, and how often either may try."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from api_servers import Api, Issuer, issuing, serving
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from pixcrawler.api import tokens
from pixcrawler.api.tokens import BadToken, Verifier
from pixcrawler.owners import keys

Sql = Callable[..., list[tuple[Any, ...]]]

USER = UUID("11111111-1111-4111-8111-111111111111")
SECRET = "a secret that is shared with the issuer of old tokens"


@pytest.fixture(scope="module")
def signer() -> Issuer:
    issuer = Issuer()
    issuer.url = "https://project.supabase.test"
    issuer.keys["rsa"] = rsa.generate_private_key(65537, 2048)
    return issuer


@pytest.fixture
def verifier(signer: Issuer) -> Verifier:
    return verifier_of(signer)


def verifier_of(signer: Issuer, secret: str | None = None, clock: Callable[[], float] = time.monotonic) -> Verifier:
    async def fetch() -> dict[str, Any]:
        signer.asked += 1
        if signer.down:
            raise httpx.ConnectError("nobody there")
        return signer.jwks()

    return Verifier(f"{signer.url}/auth/v1", fetch, secret, clock)


def verified(verifier: Verifier, token: str) -> dict[str, Any]:
    return asyncio.run(verifier.verify(token))


def _unsigned(signer: Issuer) -> str:
    return jwt.encode(signer.claims(USER), None, "none", headers={"kid": "first"})


def _signed_with_the_public_key(signer: Issuer) -> str:
    public = signer.keys["first"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    said = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(signer.claims(USER))}"
    return f"{said}.{_encoded(hmac.digest(public, said.encode(), 'sha256'))}"


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _tampered(signer: Issuer) -> str:
    head, _, signature = signer.token(USER).split(".")
    return ".".join([head, signer.token(uuid4()).split(".")[1], signature])


def _of_another_key(signer: Issuer) -> str:
    stranger = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(signer.claims(USER), stranger, "ES256", headers={"kid": "first"})


NOW = int(time.time())
BAD: dict[str, Callable[[Issuer], str]] = {
    "no algorithm": _unsigned,
    "signed with the public key": _signed_with_the_public_key,
    "tampered with": _tampered,
    "of another key": _of_another_key,
    "expired": lambda signer: signer.token(USER, exp=NOW - 60),
    "not yet valid": lambda signer: signer.token(USER, nbf=NOW + 600),
    "issued in the future": lambda signer: signer.token(USER, iat=NOW + 600),
    "no expiry": lambda signer: signer.token(USER, exp=None),
    "no subject": lambda signer: signer.token(USER, sub=None),
    "no audience": lambda signer: signer.token(USER, aud=None),
    "no issuer": lambda signer: signer.token(USER, iss=None),
    "another audience": lambda signer: signer.token(USER, aud="anon"),
    "another issuer": lambda signer: signer.token(USER, iss="https://other.supabase.test/auth/v1"),
    "the service's role": lambda signer: signer.token(USER, role="service_role"),
    "nobody's role": lambda signer: signer.token(USER, role="anon"),
    "no role": lambda signer: signer.token(USER, role=None),
    "a subject that is no user": lambda signer: signer.token("somebody"),
    "a shared secret nobody shares": lambda signer: jwt.encode(signer.claims(USER), SECRET, "HS256"),
    "an unknown key": lambda signer: jwt.encode(signer.claims(USER), signer.keys["first"], "ES256", {"kid": "x"}),
    "the wrong algorithm for its key": lambda signer: jwt.encode(
        signer.claims(USER), signer.keys["rsa"], "RS512", {"kid": "rsa"}
    ),
    "no token": lambda signer: "Hello.there.!",
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_token_opens_nothing(verifier: Verifier, signer: Issuer, case: str) -> None:
    with pytest.raises(BadToken):
        verified(verifier, BAD[case](signer))


@pytest.mark.parametrize("kid", ["first", "rsa"])
def test_a_good_token_tells_whose_it_is(verifier: Verifier, signer: Issuer, kid: str) -> None:
    assert verified(verifier, signer.token(USER, kid))["sub"] == str(USER)


def test_a_shared_secret_counts_only_where_it_is_configured(signer: Issuer) -> None:
    old = jwt.encode(signer.claims(USER), SECRET, "HS256")
    assert verified(verifier_of(signer, SECRET), old)["sub"] == str(USER)
    with pytest.raises(BadToken):
        verified(verifier_of(signer, SECRET), jwt.encode(signer.claims(USER), SECRET + "!", "HS256"))


def test_keys_are_renewed_withdrawn_and_outlive_their_server() -> None:
    signer, now = Issuer(), 0.0
    signer.url = "https://project.supabase.test"
    verifier = verifier_of(signer, clock=lambda: now)

    async def story() -> None:
        nonlocal now
        await verifier.verify(signer.token(USER))
        signer.keys["second"] = ec.generate_private_key(ec.SECP256R1())
        await verifier.verify(signer.token(USER, "second"))  # at once
        assert signer.asked == 2
        strange = ec.generate_private_key(ec.SECP256R1())
        for number in range(1000):
            with pytest.raises(BadToken):
                await verifier.verify(jwt.encode(signer.claims(USER), strange, "ES256", {"kid": str(number)}))
        assert signer.asked <= 2 * 2  # of this minute and the one before
        old = signer.token(USER)
        del signer.keys["first"]
        now += tokens.KEYS_SECONDS + 1
        signer.down = True
        await verifier.verify(old)  # nobody says that it is withdrawn
        signer.down = False
        now += 61
        with pytest.raises(BadToken):
            await verifier.verify(old)
        await verifier.verify(signer.token(USER, "second"))

    asyncio.run(story())


# -- keys


@settings(max_examples=25)
@given(st.text(max_size=150) | st.from_regex(keys.FORM, fullmatch=True))
def test_what_is_no_key_is_known_without_a_database(text: str) -> None:
    assert keys.id_of(text) is None


def test_one_wrong_letter_makes_it_no_key() -> None:
    number, key = keys.new_key()
    assert keys.id_of(key) == number
    assert all(
        keys.id_of(key[:at] + ("0" if key[at] != "0" else "1") + key[at + 1 :]) is None for at in range(len(key))
    )


def made(client: httpx.Client, **wanted: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("api-keys/", json={"name": "mine", **wanted}).raise_for_status().json()
    return answer


def test_a_key_is_shown_once_and_kept_nowhere(
    api: Api, ada: httpx.Client, rows: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key = made(ada)["key"]
    with api.client(key) as program:
        assert program.get("auth/me").json()["kind"] == "key"
    secret = key.split("_")[2]
    assert secret not in ada.get("api-keys/").text
    dump = rows("SELECT array_agg(k::text) FROM public.api_keys k")[0][0]
    assert all(secret not in line for line in dump)
    assert any(hashlib.sha256(key.encode()).hexdigest() in line for line in dump)
    assert secret not in caplog.text


def test_a_key_ends_when_it_is_revoked_or_over(api: Api, ada: httpx.Client, rows: Sql) -> None:
    revoked, expiring = made(ada), made(ada, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    with api.client(revoked["key"]) as one, api.client(expiring["key"]) as other:
        assert (one.get("auth/me").status_code, other.get("auth/me").status_code) == (200, 200)
        assert ada.delete(f"api-keys/{revoked['about']['id']}").status_code == 204
        rows("UPDATE public.api_keys SET expires_at = now() WHERE id = %s", [expiring["about"]["id"]])
        assert (one.get("auth/me").status_code, other.get("auth/me").status_code) == (401, 401)
    states = {key["id"]: key["status"] for key in ada.get("api-keys/", params={"limit": 100}).json()["items"]}
    assert [states[one["about"]["id"]] for one in (revoked, expiring)] == ["revoked", "expired"]


def test_uses_are_counted_and_written_seldom(api: Api, ada: httpx.Client, rows: Sql) -> None:
    key = made(ada)
    written = "SELECT usage_count, last_used_at, last_used_ip, xmin::text FROM public.api_keys WHERE id = %s"
    with api.client(key["key"]) as program:
        program.get("auth/me")
        ((count, when, whence, version),) = rows(written, [key["about"]["id"]])
        assert (count, when is not None, whence) == (1, True, "127.0.0.1")
        for _ in range(5):
            program.get("auth/me")
    assert rows(written, [key["about"]["id"]])[0][3] == version


# -- how often


@pytest.fixture(scope="module")
def strict(shared_database_url: str, data_dir: Path) -> Iterator[Api]:
    with issuing() as issuer:
        limits = ("user:40", "address:100000", "failures:10")
        with serving(shared_database_url, data_dir, supabase_url=issuer.url, request_limits=limits) as api:
            api.issuer = issuer
            yield api


def test_whoever_asks_too_often_waits(strict: Api, rows: Sql) -> None:
    with strict.logged_in(rows, "eager@example.org") as eager, strict.logged_in(rows, "calm@example.org") as calm:
        answers = [eager.get("auth/me") for _ in range(60)]
        assert answers[0].headers["ratelimit-limit"] == "40"
        assert [a.headers["ratelimit-remaining"] for a in answers[:2]] == ["39", "38"]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 10 <= len(refused) <= 20  # a minute may begin meanwhile
        assert refused[-1].json()["code"] == "rate_limited"
        assert 1 <= int(refused[-1].headers["retry-after"]) <= 60
        assert calm.get("auth/me").status_code == 200


def test_a_key_has_a_limit_of_its_own(api: Api, ada: httpx.Client) -> None:
    with api.client(made(ada, rate_limit=5)["key"]) as program:
        assert 429 in [program.get("auth/me").status_code for _ in range(12)]


def test_many_bad_logins_cost_nothing_and_keep_nobody_out(strict: Api, rows: Sql, ada: httpx.Client) -> None:
    assert strict.issuer is not None
    guesses = [keys.new_key()[1] for _ in range(30)] + ["pxc_guess", "Hello.there.!"] * 30
    with strict.client() as attacker, strict.logged_in(rows, "victim@example.org") as victim:
        before = rows("SELECT coalesce(sum(used), 0) FROM crawler.rate_limits WHERE subject LIKE 'failures:%'")
        states = [
            attacker.get("auth/me", headers={"Authorization": f"Bearer {guess}"}).status_code for guess in guesses
        ]
        assert states.count(401) <= 2 * 10
        assert set(states[40:]) == {429}
        assert victim.get("auth/me").status_code == 200
        after = rows("SELECT coalesce(sum(used), 0) FROM crawler.rate_limits WHERE subject LIKE 'failures:%'")
        assert after[0][0] - before[0][0] <= 4 * 11  # most were refused without a look into the database
