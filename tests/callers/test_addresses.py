"""Whose address counts."""

import ipaddress

import pytest

from app.callers.addresses import caller_address, limit_key, network_key

TRUSTED = tuple(ipaddress.ip_network(network) for network in ("10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::9]:4711,fd00::1", "2001:db8::9"),
        ("10.0.0.1", '"[2001:db8::9]"', "2001:db8::9"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("fd00::2", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),  # what a proxy could not tell ends the walk
        ("10.0.0.1", "203.0.113.9, 999.1.1.1, 10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", "203.0.113.9, , 10.0.0.7,", "203.0.113.9"),
        ("10.0.0.1", "64:ff9b::cb00:7109", "203.0.113.9"),
        ("64:ff9b::c000:201", "", "192.0.2.1"),
        ("10.0.0.1", "unknown, [, ::::, a:b", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.1"),
        ("10.0.0.1", "x" * 20_000, "10.0.0.1"),
    ],
)
def test_the_callers_address(peer, forwarded_for, address):
    assert str(caller_address(peer, forwarded_for, TRUSTED)) == address


@pytest.mark.parametrize("peer", [None, "", "garbage"])
def test_a_peer_without_an_address_is_believed_nothing(peer):
    """A unix socket has no address; whoever is behind it is unknown."""
    assert caller_address(peer, "203.0.113.9", TRUSTED) is None


@pytest.mark.parametrize(
    ("address", "key"), [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), (None, "None")]
)
def test_limits_count_an_ipv6_address_by_its_64(address, key):
    assert limit_key(ipaddress.ip_address(address) if address else None) == key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        (None, "None"),
    ],
)
def test_a_network_is_what_a_site_usually_has(address, key):
    assert network_key(ipaddress.ip_address(address) if address else None) == key
