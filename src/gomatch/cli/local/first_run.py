"""What a new venue starts with: two markets and one key."""

from __future__ import annotations

from gomatch.messages.credentials import derive_secret, parse_server_key, token
from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings
from gomatch.store import ApiKeys, Markets, close_pool, connect_pool, migrate

_MARKETS = (
    MarketDefinition(base="BTC", quote="USDT", tick_size="0.01", lot_size="0.00001"),
    MarketDefinition(base="ETH", quote="USDT", tick_size="0.01", lot_size="0.0001"),
)
DEMO_USER = "demo"


async def prepare_database(settings: Settings) -> str | None:
    """Bring the schema up to date. A database without markets gets the samples; one without keys
    gets one for the user "demo", whose token is returned. Raises ConfigurationError,
    StoreUnavailable."""
    # Before anything is written: the token of a key is derived from it and shown only once.
    server_key = parse_server_key(settings.server_key_text())
    await migrate(settings.postgres.current_url())
    pool = await connect_pool(
        settings.postgres, size=2, timeout=settings.database_timeout, application="gomatch up"
    )
    try:
        markets = Markets(pool)
        if not await markets.list():
            for definition in _MARKETS:
                await markets.create(definition, managed_by="up")
        keys = ApiKeys(pool)
        if await keys.list():
            return None
        key = await keys.create(
            DEMO_USER, ("read", "trade", "admin"), label="made by gomatch up", rate_limit=None
        )
    finally:
        await close_pool(pool)
    return token(key.key_id, derive_secret(server_key, key.key_id))
