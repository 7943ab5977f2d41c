from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.errors import UsageError
from pixcrawler.middlewares.addresses import Guard, is_public, literal, plain_host

PRIVATE = """
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.255
    168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.0 172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.192
    192.0.2.1 192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9
    224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::7f00:1
    64:ff9b:1::1 100::1 100:0:0:1::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1
    2001:1ff:ffff::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 3ffe::1 3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1
    fd00:ec2::254 fdff::1 fe80::1 fe80::1%eth0 febf::1 fec0::1 feff::1 ff00::1 ff02::1 ff0e::1
    2606:4700::5efe:7f00:1 2606:4700::200:5efe:a00:1 2606:4700::1111%1
"""

PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
    168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.88.98.255
    192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    2001:200::1 2001:4860:4860::8888 2001:db7::1 2003::1 2606:4700:4700::1111 2a00:1450:4001:80b::200e 2620:4f:8000::1
    3ffd::1
"""

# IANA's registries of special addresses and what a crawl has to do there. Those of AS112 and AMT answer for anybody.
REGISTRY = """
    0.0.0.0/8 no            0.0.0.0/32 no           10.0.0.0/8 no           100.64.0.0/10 no        127.0.0.0/8 no
    169.254.0.0/16 no       172.16.0.0/12 no        192.0.0.0/24 no         192.0.0.0/29 no         192.0.0.8/32 no
    192.0.0.9/32 no         192.0.0.10/32 no        192.0.0.170/31 no       192.0.2.0/24 no         192.31.196.0/24 yes
    192.52.193.0/24 yes     192.88.99.0/24 no       192.168.0.0/16 no       192.175.48.0/24 yes     198.18.0.0/15 no
    198.51.100.0/24 no      203.0.113.0/24 no       224.0.0.0/4 no          232.0.0.0/8 no          233.252.0.0/24 no
    239.0.0.0/8 no          240.0.0.0/4 no          255.255.255.255/32 no
    ::/128 no               ::1/128 no              ::/96 no                ::ffff:0:0/96 no        ::ffff:0:0:0/96 no
    64:ff9b::/96 no         64:ff9b:1::/48 no       100::/64 no             100:0:0:1::/64 no       2001::/23 no
    2001::/32 no            2001:1::1/128 no        2001:1::2/128 no        2001:1::3/128 no        2001:2::/48 no
    2001:3::/32 no          2001:4:112::/48 no      2001:10::/28 no         2001:20::/28 no         2001:30::/28 no
    2001:db8::/32 no        2002::/16 no            2620:4f:8000::/48 yes   3ffe::/16 no            3fff::/20 no
    5f00::/16 no            fc00::/7 no             fd00::/8 no             fe80::/10 no            fec0::/10 no
    ff00::/8 no             ff01::/16 no            ff02::/16 no            ff05::/16 no            ff0e::/16 no
"""

# Where machines in clouds ask who they are, and for their passwords.
METADATA = """
    169.254.169.254 169.254.169.253 169.254.169.123 169.254.170.2 169.254.170.23 100.100.100.200 192.0.0.192
    168.63.129.16 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 fe80::a9fe:a9fe
"""

LOOPBACK = """
    127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0x7F.1 0177.0.0.1 017700000001 127.0.0.1. 0x7f.0.1
    １２７.０.０.１ 127。0。0。1 ①②⑦.0.0.1 %31%32%37.0.0.1 127%2e0%2e0%2e1
"""


@pytest.mark.parametrize("text", PRIVATE.split())
def test_denies(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC.split())
def test_allows(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(("block", "open_"), [*zip(REGISTRY.split()[::2], REGISTRY.split()[1::2], strict=True)])
def test_knows_the_registries(block: str, open_: str) -> None:
    network = ipaddress.ip_network(block)
    for address in (network[0], network[network.num_addresses // 2], network[-1]):
        assert is_public(address) is (open_ == "yes")


@pytest.mark.parametrize("address", METADATA.split())
def test_tells_nobody_who_this_machine_is(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@given(st.ip_addresses())
def test_never_calls_public_what_python_calls_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert address.is_global or not is_public(address)


@given(st.ip_addresses(v=4))
def test_no_embedding_hides_an_address(inner: ipaddress.IPv4Address) -> None:
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "2606:4700::5efe:0:0"):
        assert not is_public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(inner)))
    assert not is_public(ipaddress.IPv6Address((0x2002 << 112) + (int(inner) << 80) + 1))


@pytest.mark.parametrize("host", LOOPBACK.split())
def test_reads_loopback_in_every_notation(host: str) -> None:
    assert literal(plain_host(host)) == ipaddress.IPv4Address("127.0.0.1")


@given(st.ip_addresses(v=4))
def test_reads_every_number_as_its_address(address: ipaddress.IPv4Address) -> None:
    number, (a, b, c, d) = int(address), address.packed
    for host in (f"{number}", f"{number:#x}", f"0{number:o}", f"{a}.{b}.{c << 8 | d}", f"{a:#x}.{b:#o}.{c}.{d}"):
        assert literal(plain_host(host.replace("0o", "0"))) == address


@pytest.mark.parametrize("host", ["1.2.3.4.5", "4294967296", "08.1.1.1", "256.1", "a.b.9", "0x", "1.2.3.0x", "a b", ""])
def test_what_ends_in_a_number_is_an_address_or_nothing(host: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        literal(host)


@pytest.mark.parametrize("host", ["example.com", "my_bucket.example.com", "1e100.net", "xn--mnchen-3ya.de", "a.0xyz"])
def test_leaves_names_to_the_look_up(host: str) -> None:
    assert literal(plain_host(host)) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://@example.com/",
        "http:///nohost",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:22/",
        "http://example.com:8080/",
        "https://example.com:8443/",
        "http://8.8.8.8:8080/",
        "http://8.8.8.8:6379/",
        "http://exa%00mple.com/",
        "http://exa%20mple.com/",
        "http://a..b/",
        "http://" + "a" * 64 + ".com/",
        "http://[/",
        "//example.com/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "gopher://example.com/",
        "",
    ],
)
def test_refuses_urls_that_show_what_they_are(url: str) -> None:
    assert Guard().refusal(url)


@given(st.text())
def test_has_a_verdict_on_any_text(text: str) -> None:
    Guard().refusal(text)
    Guard().refusal(f"http://{text}/")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://example.com./a?b",
        "HTTP://a/",
        "http://8.8.8.8:80/",
        "http://8.8.8.8:443/",
        "https://[2606:4700::1111]/",
        "http://example.com:/",
    ],
)
def test_lets_public_urls_pass(url: str) -> None:
    assert Guard().refusal(url) is None


@pytest.mark.parametrize(
    ("entry", "covered", "denied"),
    [
        ("127.0.0.1", "http://127.0.0.1:81/", "http://127.0.0.2/"),
        ("127.0.0.1", "http://2130706433/", "http://[::ffff:127.0.0.1]/"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", "http://127.0.0.1/"),
        ("127.0.0.1:80", "http://127.0.0.1/", "https://127.0.0.1/"),
        ("127.0.0.0/8", "http://127.9.9.9/", "http://10.0.0.1/"),
        ("10.1.0.0/16:443", "https://10.1.2.3/", "http://10.1.2.3/"),
        ("::1", "http://[::1]:9/", "http://[::]/"),
        ("[::1]:9", "http://[::1]:9/", "http://[::1]/"),
        ("fd00::/8", "http://[fd12::1]/", "http://[fe80::1]/"),
    ],
)
def test_exempts_addresses(entry: str, covered: str, denied: str) -> None:
    guard = Guard([entry])
    assert guard.refusal(covered) is None
    assert guard.refusal(denied)


def test_exempts_names_whatever_their_address() -> None:
    guard = Guard(["Images.Test", "other.test:81", "münchen.test"])
    assert guard.refusal_of_answer("images.test", 80, ["127.0.0.1"]) is None
    assert guard.refusal_of_answer("images.test.", 80, ["127.0.0.1"]) is None
    assert guard.refusal_of_answer("xn--mnchen-3ya.test", 80, ["127.0.0.1"]) is None
    assert guard.refusal_of_answer("other.test", 81, ["127.0.0.1"]) is None
    assert guard.refusal_of_answer("other.test", 80, ["127.0.0.1"])
    assert guard.refusal_of_answer("sub.images.test", 80, ["127.0.0.1"])


def test_another_port_needs_an_exemption() -> None:
    guard = Guard(["mirror.test:8443", "10.0.0.0/8:8080"])
    assert guard.refusal("https://mirror.test:8443/") is None
    assert guard.refusal_of_answer("mirror.test", 8443, ["8.8.8.8"]) is None
    assert guard.refusal("http://other.test:8080/") is None  # its address may be exempted
    assert guard.refusal_of_answer("other.test", 8080, ["10.1.1.1"]) is None
    assert guard.refusal_of_answer("other.test", 8080, ["8.8.8.8"]) == "other.test: port 8080 is none of the web's"
    assert guard.refusal("http://other.test:8081/") == "port 8081 is none of the web's"


def test_one_bad_address_spoils_a_name() -> None:
    guard = Guard(["10.0.0.1"])
    assert guard.refusal_of_answer("a.test", 80, ["8.8.8.8", "10.0.0.1", "2606:4700::1111"]) is None
    assert guard.refusal_of_answer("a.test", 80, ["8.8.8.8", "10.0.0.2"]) == (
        "a.test: 10.0.0.2 is not a public address"
    )
    assert guard.refusal_of_answer("a.test", 80, ["8.8.8.8", "nonsense"])


@pytest.mark.parametrize("entry", ["", "a b", "127.0.0.1:http", "127.1", "http://a/", "10.0.0.0/99", "a:b:c", "*"])
def test_names_an_exemption_that_makes_no_sense(entry: str) -> None:
    with pytest.raises(UsageError, match="PIXCRAWLER_ALLOW_HOSTS"):
        Guard([entry])
