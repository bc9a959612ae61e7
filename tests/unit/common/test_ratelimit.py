"""Whom a limit by address counts."""

import pytest

from fluxprint_common.ratelimit import network


class TestNetwork:
    @pytest.mark.parametrize(
        ("address", "counted"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:aaaa:bbbb:cccc:dddd", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
            ("unix socket", "unix socket"),
        ],
    )
    def test_is_the_address_or_a_customers_part_of_ipv6(self, address: str, counted: str) -> None:
        assert network(address) == counted
