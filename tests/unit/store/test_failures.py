import asyncpg
import pytest

from gomatch.errors import StoreUnavailable
from gomatch.store.failures import Translated


@pytest.mark.parametrize("writing", [True, False])
def test_a_session_that_ends_inside_a_statement_is_a_database_that_is_away(writing: bool) -> None:
    with pytest.raises(StoreUnavailable) as raised, Translated(writing=writing):
        getattr(None, "bind_execute")  # noqa: B009  what asyncpg does after it lost its protocol
    assert raised.value.outcome_unknown is writing
    with pytest.raises(StoreUnavailable), Translated(writing=writing):
        raise asyncpg.InternalClientError("cannot switch to state 21")


def test_a_bug_of_ours_is_not_mistaken_for_that() -> None:
    with pytest.raises(AttributeError), Translated():
        getattr(None, "market_id")  # noqa: B009


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.InvalidPasswordError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
        asyncpg.UndefinedTableError,
        asyncpg.InternalServerError,
    ],
)
def test_a_server_that_somebody_has_to_mend_is_away_and_wrote_nothing(
    error: type[asyncpg.PostgresError],
) -> None:
    with pytest.raises(StoreUnavailable) as raised, Translated(writing=True):
        raise error("as the server says")
    assert not raised.value.outcome_unknown


@pytest.mark.parametrize("error", [asyncpg.DataError, asyncpg.CheckViolationError])
def test_values_that_do_not_fit_are_a_bug_of_ours(error: type[asyncpg.PostgresError]) -> None:
    with pytest.raises(error), Translated(writing=True):
        raise error("value out of range")
