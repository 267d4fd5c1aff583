from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.unit.gateway.fakes import Setup, make_setup

MakeClient = Callable[..., httpx.AsyncClient]


@pytest.fixture
def venue() -> Setup:
    return make_setup()


def client_of(setup: Setup, name: str = "alice") -> httpx.AsyncClient:
    headers = {}
    if name:
        headers = {"APCA-API-KEY-ID": f"{name}-key", "APCA-API-SECRET-KEY": f"{name}-secret"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(setup.app), base_url="http://venue", headers=headers
    )


@pytest.fixture
async def alice(venue: Setup) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(venue) as client:
        yield client


@pytest.fixture
async def bob(venue: Setup) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(venue, "bob") as client:
        yield client


@pytest.fixture
async def root(venue: Setup) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(venue, "root") as client:
        yield client
