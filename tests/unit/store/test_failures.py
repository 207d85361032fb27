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
