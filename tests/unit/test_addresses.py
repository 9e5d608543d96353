"""Only public addresses are fetched from, in whatever form the others come."""

from __future__ import annotations

import pytest

from service.sources.addresses import may_fetch, networks_of, parsed

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450:4001::1"]
HIDDEN_PUBLIC = ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
PRIVATE_4 = [
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
]
PRIVATE_6 = [
    "::",
    "::1",
    "::127.0.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "64:ff9b:1::7f00:1",
]


@pytest.mark.parametrize("address", PUBLIC + HIDDEN_PUBLIC)
def test_a_public_address_is_fetched_from(address: str) -> None:
    assert may_fetch(parsed(address))


@pytest.mark.parametrize("address", PRIVATE_4 + PRIVATE_6)
def test_another_one_is_not(address: str) -> None:
    assert not may_fetch(parsed(address))


@pytest.mark.parametrize("address", PRIVATE_4)
@pytest.mark.parametrize("form", ["::ffff:{}", "64:ff9b::{}", "::{}", "::ffff:0:{}", "64:ff9b:1::{}"])
def test_nor_is_one_that_is_hidden_in_a_longer_one(address: str, form: str) -> None:
    assert not may_fetch(parsed(form.format(address)))


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00::7"])
def test_what_the_operator_allows_is_fetched_from(address: str) -> None:
    allowed = networks_of("10.1.0.0/16, fd00::7")
    assert may_fetch(parsed(address), allowed)
    assert not may_fetch(parsed("10.2.0.1"), allowed)
    assert not may_fetch(parsed("fd00::8"), allowed)
