"""The plain-process servers and the fixtures that stand on them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import aio_pika
import asyncpg
import grpc
import pytest
import redis.asyncio

from gomatch.cli.servers import LocalServer, PostgresServer, RabbitServer, RedisServer, ports
from gomatch.cli.servers.process import process_tree
from tests.fixtures.links import ProxyFactory


class Echo(grpc.GenericRpcHandler):
    """Answers each call with what it says."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return request

        return grpc.unary_unary_rpc_method_handler(answer)


def ask_many_times(server: PostgresServer) -> set[str]:
    return {server.run_sql("SELECT 1") for _ in range(20)}


async def test_a_committed_row_survives_the_kill_of_postgresql(
    postgres_server: PostgresServer, empty_database_url: str
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("CREATE TABLE kept (value int)")
    await connection.execute("INSERT INTO kept VALUES (42)")
    await postgres_server.kill()
    connection.terminate()
    assert not postgres_server.running
    await postgres_server.start()
    connection = await asyncpg.connect(empty_database_url)
    assert await connection.fetchval("SELECT value FROM kept") == 42
    await connection.close()


async def test_a_frozen_postgresql_answers_once_it_goes_on(
    postgres_server: PostgresServer, empty_database_url: str
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await postgres_server.pause()
    answer = asyncio.ensure_future(connection.fetchval("SELECT 1"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(answer), 0.3)
    await postgres_server.resume()
    assert await answer == 1
    await connection.close()


async def test_psql_can_be_run_while_grpc_is_in_use(postgres_server: PostgresServer) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/echo/echo")
            answers = asyncio.create_task(asyncio.to_thread(ask_many_times, postgres_server))
            while not answers.done():
                assert await call(b"-") == b"-"
            assert await answers == {"1\n"}
    finally:
        await server.stop(None)


async def test_redis_databases_are_empty_for_each_test(redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("key", "value")
        assert await client.get("key") == b"value"


async def test_rabbitmq_takes_connections_to_the_tests_own_virtual_host(
    rabbitmq_url: str,
) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("here")
        assert queue.declaration_result.message_count == 0


def test_everything_a_broker_writes_is_in_its_folder(rabbitmq_server: RabbitServer) -> None:
    assert (rabbitmq_server.data / "rabbitmq.log").exists()
    assert (rabbitmq_server.data / "mnesia").is_dir()
    assert len(process_tree(rabbitmq_server.pid)) > 1


_OWNER = """
    import sys, time
    from pathlib import Path
    from gomatch.cli.servers import PostgresServer, RedisServer
    servers = [PostgresServer(Path(sys.argv[1]) / "p"), RedisServer(Path(sys.argv[1]) / "r")]
    for server in servers:
        server.start_now()
    print(*(server.pid for server in servers), flush=True)
    time.sleep(600)
"""


def test_servers_end_when_their_owner_is_killed(server_folder: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_OWNER), str(server_folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert len(pids) == 2
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stopping_twice_and_starting_twice_is_harmless(server_folder: Path) -> None:
    server = RedisServer(server_folder / "twice", persistent=True)
    server.start_now()
    server.start_now()
    pid = server.pid
    server.stop_now()
    server.stop_now()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("kind", [PostgresServer, RedisServer, RabbitServer])
def test_a_server_takes_no_port_on_which_something_else_will_listen(
    kind: type[LocalServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomatch.cli.servers.ports._LAST", ports._FIRST + 200)
    left = range(ports._FIRST, ports._FIRST + 50)
    server = kind(tmp_path, besides=range(left.stop, left.stop + 150))

    taken = [value for name, value in vars(server).items() if name.endswith("port") and value]
    assert server.port in taken
    assert set(taken) <= set(left)


async def test_a_cut_link_is_noticed_and_a_restored_one_works(
    redis_url: str, tcp_proxy: ProxyFactory
) -> None:
    proxy = await tcp_proxy(redis_url)
    async with redis.asyncio.Redis.from_url(proxy.url(redis_url), retry=None) as client:
        assert await client.ping()
        proxy.cut()
        with pytest.raises(redis.exceptions.ConnectionError):
            await client.ping()
        proxy.restore()
        assert await client.ping()
        assert proxy.accepted == 2


async def test_a_stalled_link_holds_bytes_back_until_restored(
    redis_url: str, tcp_proxy: ProxyFactory
) -> None:
    proxy = await tcp_proxy(redis_url)
    async with redis.asyncio.Redis.from_url(proxy.url(redis_url)) as client:
        await client.ping()
        proxy.stall("to_client")
        answer = asyncio.ensure_future(client.ping())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answer), 0.2)
        proxy.restore()
        assert await answer
