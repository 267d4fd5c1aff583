"""The gateway's tables on a real database."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from nexustrade.core.errors import InputError, StoreUnavailable
from nexustrade.gateway.store import KeyStore, NameTaken, WatchlistStore, create_key
from tests.unit.gateway.fakes import NOW_US, FakeClock

Pool = AsyncConnectionPool[Any]
LOST = "01a1ee56-5e7b-7df5-8eff-f84fa21d6fc1"


@pytest.fixture
async def pool(new_database: Callable[[str], str]) -> AsyncIterator[Pool]:
    pool: Pool = AsyncConnectionPool(
        new_database("accounts"), min_size=1, max_size=2, timeout=5, open=False,
        kwargs={"autocommit": True},
    )  # fmt: skip
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_key_opens_until_it_is_revoked(pool: Pool, clock: FakeClock) -> None:
    keys, elsewhere = KeyStore(pool, clock), KeyStore(pool, clock)
    key, secret = await keys.create("alice", ["trade"], "bot", NOW_US + 10**9, NOW_US)
    found = await keys.authenticate(key.key_id, secret, NOW_US)
    assert found == key
    assert await elsewhere.authenticate(key.key_id, secret, NOW_US) == key
    assert await keys.authenticate(key.key_id, secret + "x", NOW_US) is None
    assert await keys.authenticate(key.key_id, secret, NOW_US + 10**9) is None

    assert await elsewhere.revoke(key.key_id, NOW_US + 5)
    assert await elsewhere.authenticate(key.key_id, secret, NOW_US) is None
    clock.ns += 1_000_000_001
    assert await keys.authenticate(key.key_id, secret, NOW_US) is None
    assert [row.revoked_us for row in await keys.list("alice")] == [NOW_US + 5]
    assert not await keys.revoke("nobody", NOW_US)


async def test_the_secret_is_not_stored(pool: Pool, clock: FakeClock) -> None:
    keys = KeyStore(pool, clock)
    key, secret = await keys.create("alice", ["read"], "", 0, NOW_US)
    async with pool.connection() as connection:
        cursor = await connection.execute("select api_keys::text from api_keys")
        rows = [row[0] async for row in cursor]
    assert len(rows) == 1
    assert key.key_id in rows[0]
    assert secret not in rows[0]
    assert len(secret) >= 43


async def test_a_configured_key_is_put_again_and_stays_revoked(
    pool: Pool, clock: FakeClock
) -> None:
    keys = KeyStore(pool, clock)

    async def put(secret: str) -> None:
        async with pool.connection() as connection:
            made = await create_key(
                connection, "alice", ["read"], NOW_US, key_id="given", secret=secret
            )
        assert made == ("given", secret)
        clock.ns += 1_000_000_001

    await put("one")
    assert await keys.authenticate("given", "one", NOW_US) is not None
    await put("two")
    assert await keys.authenticate("given", "one", NOW_US) is None
    assert await keys.authenticate("given", "two", NOW_US) is not None
    await keys.revoke("given", NOW_US)
    await put("two")
    assert await keys.authenticate("given", "two", NOW_US) is None


async def test_made_keys_differ_and_unknown_scopes_are_refused(pool: Pool) -> None:
    async with pool.connection() as connection:
        made = [await create_key(connection, "alice", ["read"], NOW_US) for _ in range(3)]
        with pytest.raises(InputError, match="scopes"):
            await create_key(connection, "alice", ["root"], NOW_US)
    assert len({key for key, _ in made}) == len({secret for _, secret in made}) == 3


async def test_keys_are_listed_by_account_oldest_first(pool: Pool, clock: FakeClock) -> None:
    keys = KeyStore(pool, clock)
    for at, account in enumerate(("a", "b", "a")):
        await keys.create(account, ["read"], str(at), 0, NOW_US + at)
    assert [key.label for key in await keys.list("a")] == ["0", "2"]
    assert [key.label for key in await keys.list("")] == ["0", "1", "2"]


async def test_a_database_that_is_away(pool: Pool, clock: FakeClock) -> None:
    await pool.close()
    away: Pool = AsyncConnectionPool(
        "host=127.0.0.1 port=1 dbname=x", min_size=0, max_size=1, timeout=0.05, open=False
    )
    await away.open()
    with pytest.raises(StoreUnavailable):
        await KeyStore(away, clock).authenticate("a", "b", NOW_US)
    with pytest.raises(StoreUnavailable):
        await WatchlistStore(away).all("alice")
    await away.close()


async def test_watchlists_belong_to_one_account(pool: Pool) -> None:
    lists = WatchlistStore(pool)
    one = await lists.create("alice", "one", ["AAPL", "BTC/USD"], NOW_US)
    two = await lists.create("alice", "two", [], NOW_US + 1)
    same_name = await lists.create("bob", "one", [], NOW_US)
    assert list(await lists.all("alice")) == [one, two]
    assert await lists.get("alice", one.id) == one
    assert await lists.get("bob", one.id) is None
    assert await lists.get("alice", "no uuid") is None
    with pytest.raises(NameTaken):
        await lists.create("alice", "one", [], NOW_US)
    with pytest.raises(NameTaken):
        await lists.update("alice", two.id, "one", [], NOW_US)

    changed = await lists.update("alice", one.id, "uno", ["MSFT"], NOW_US + 9)
    assert changed == one._replace(name="uno", symbols=("MSFT",), updated_us=NOW_US + 9)
    assert await lists.update("bob", one.id, "x", [], NOW_US) is None
    assert await lists.update("alice", LOST, "x", [], NOW_US) is None
    assert await lists.update("alice", "no uuid", "x", [], NOW_US) is None

    assert not await lists.delete("bob", one.id)
    assert await lists.delete("alice", one.id)
    assert not await lists.delete("alice", one.id)
    assert not await lists.delete("alice", "no uuid")
    assert await lists.get("bob", same_name.id) == same_name
