"""Viewers who read ten bytes a second: each is cut off while it reads, and nobody else misses a picture.

For so little no kernel takes more of the service, which sees nobody who is slow, but one who takes nothing. Those who
take too little before its eyes are in the tests of the relay.
"""

import asyncio
from itertools import count

import pytest

from support.camera import jpeg
from support.camera_service import Organisation, ports_of
from support.trickle import Trickle, trickle
from support.uplink import stream, viewers_of
from support.view import view

#: Longer than the service has patience, and than its kernel has room.
WITHIN_S = 20
SIZE = 100_000


@pytest.fixture
def organisation(hasty_on_both_paths: Organisation) -> Organisation:
    return hasty_on_both_paths


def is_connected(organisation: Organisation, viewer: Trickle) -> bool:
    """Whether the service has its connection still."""
    return viewer.port in ports_of(organisation.service.process.pid)


class TestStream:
    async def test_is_cut_and_who_reads_sees_every_picture(self, organisation: Organisation) -> None:
        async with organisation.client() as client, organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with (
                trickle(organisation.service.url, path, organisation.user_token()) as slow,
                stream(client, path) as pictures,
                asyncio.timeout(WITHIN_S),
            ):
                numbers = count(1)
                while is_connected(organisation, slow):
                    number = next(numbers)
                    await bridge.send(number, size=SIZE)
                    assert await pictures.next() == jpeg(number, size=SIZE)
                assert await viewers_of(client, bridge.camera_id) == 1
                assert 0 < slow.count < SIZE


class TestSocket:
    async def test_is_cut_and_who_reads_sees_every_picture(self, organisation: Organisation) -> None:
        url, token = organisation.service.url, organisation.user_token()
        async with (
            organisation.client() as client,
            organisation.camera() as bridge,
            trickle(url, "/api/v1/cameras/watch", token, websocket=True) as slow,
            view(url, token) as watching,
            asyncio.timeout(WITHIN_S),
        ):
            await slow.watch(bridge.camera_id)
            await watching.watch(bridge.camera_id)
            numbers = count(1)
            while is_connected(organisation, slow):
                number = next(numbers)
                await bridge.send(number, size=SIZE)
                assert (await watching.frame()).picture == jpeg(number, size=SIZE)
                await watching.ack(bridge.camera_id, number)
            assert await viewers_of(client, bridge.camera_id) == 1
            assert 0 < slow.count < SIZE
