"""The container images as built: their size, what they say of themselves, and that they run with
nothing to write to, without a shell and as nobody in particular."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from gomatch.cli.servers.ports import free_port
from tests.fixtures.images import (
    Images,
    container,
    docker,
    environment_options,
    inspect,
    locked_down,
    run_docker,
)

_PROGRAMS = ("api", "matcher", "operator")
_SERVER_KEY = "5e" * 32
_UNCOMPILED = """
import importlib, pathlib, sys
importlib.import_module(sys.argv[1])
for module in list(sys.modules.values()):
    cached = getattr(module, "__cached__", None)
    if cached and "site-packages" in cached and not pathlib.Path(cached).exists():
        print(module.__name__)
"""
pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize(
    ("program", "megabytes"), [("api", 120), ("matcher", 120), ("operator", 170)]
)
def test_an_image_adds_little_to_its_base(images: Images, program: str, megabytes: int) -> None:
    added = inspect(getattr(images, program))["Size"] - inspect(images.base)["Size"]
    assert added <= megabytes * 1_000_000


def test_the_images_share_the_layer_of_their_common_dependencies(images: Images) -> None:
    layers = [inspect(getattr(images, program))["RootFS"]["Layers"] for program in _PROGRAMS]
    of_base = inspect(images.base)["RootFS"]["Layers"]
    shared = [layer for layer, *others in zip(*layers, strict=False) if set(others) == {layer}]
    assert shared[: len(of_base)] == of_base
    assert len(shared) > len(of_base)


@pytest.mark.parametrize("program", _PROGRAMS)
def test_an_image_runs_as_an_unprivileged_user_by_number(images: Images, program: str) -> None:
    image = getattr(images, program)
    assert inspect(image)["Config"]["User"] == "65532:65532"
    assert python(image, "import os; print(os.getuid(), os.getgid())") == "65532 65532"


@pytest.mark.parametrize("program", _PROGRAMS)
def test_an_image_is_ended_by_sigterm(images: Images, program: str) -> None:
    assert inspect(getattr(images, program))["Config"]["StopSignal"] == "SIGTERM"


@pytest.mark.parametrize("program", _PROGRAMS)
def test_an_image_says_what_it_is(images: Images, program: str) -> None:
    labels = inspect(getattr(images, program))["Config"]["Labels"]
    name = "org.opencontainers.image."
    assert labels[f"{name}title"] == f"gomatch-{program}"
    assert labels[f"{name}description"]
    assert labels[f"{name}licenses"] == "Apache-2.0"
    assert labels[f"{name}revision"]
    version = python(getattr(images, program), "import gomatch; print(gomatch.__version__)")
    assert labels[f"{name}version"] == version


@pytest.mark.parametrize("program", _PROGRAMS)
def test_nothing_of_the_machine_that_built_it_stays_in_an_image(
    images: Images, program: str
) -> None:
    image = getattr(images, program)
    of_base = inspect(images.base)["Config"]["Env"] or []
    names = {each.partition("=")[0] for each in inspect(image)["Config"]["Env"]}
    added = names - {each.partition("=")[0] for each in of_base}
    assert added <= {
        "HOME",
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONSAFEPATH",
        "PYTHONUNBUFFERED",
    }
    assert python(image, "import os; print(os.path.exists('/build'))") == "False"
    assert "pip" not in docker("history", "--no-trunc", "--format={{.CreatedBy}}", image)


@pytest.mark.parametrize(
    ("program", "main"),
    [
        ("api", "gomatch_api.main"),
        ("matcher", "gomatch_matcher.main"),
        ("operator", "gomatch_operator.app"),
    ],
)
def test_all_that_a_program_loads_is_compiled(images: Images, program: str, main: str) -> None:
    assert python(getattr(images, program), _UNCOMPILED, main) == ""


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        ("api", [], "gomatch_api: GOMATCH_SERVER_KEY must have at least 32 bytes"),
        ("matcher", [], "gomatch_matcher: GOMATCH_MARKET is not set"),
        ("operator", ["run", "--config", "/etc/gomatch/none.yaml"], "/etc/gomatch/none.yaml"),
    ],
)
def test_a_program_without_settings_says_what_is_missing(
    images: Images, program: str, arguments: list[str], said: str
) -> None:
    image = getattr(images, program)
    ended = run_docker("run", "--rm", "--network=none", *locked_down(image), image, *arguments)
    assert ended.returncode in (1, 2)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_lockdown_leaves_no_shell(images: Images) -> None:
    """Without it the test below would prove nothing."""
    ended = run_docker(
        "run", "--rm", "--entrypoint=sh", *locked_down(images.api), images.api, "-c", "true"
    )
    assert ended.returncode in (126, 127)


def test_a_market_trades_with_nothing_to_write_to_and_no_shell(
    images: Images, empty_database_url: str, rabbitmq_url: str, redis_url: str
) -> None:
    api_port = free_port()
    callback_port = free_port([api_port])
    matcher_port = free_port([api_port, callback_port])
    environment = {
        "GOMATCH_POSTGRES_URL": empty_database_url,
        "GOMATCH_AMQP_URL": rabbitmq_url,
        "GOMATCH_REDIS_URL": redis_url,
        "GOMATCH_SERVER_KEY": _SERVER_KEY,
        "GOMATCH_API_PORT": str(api_port),
        "GOMATCH_CALLBACK_PORT": str(callback_port),
        "GOMATCH_CALLBACK_TARGETS": f"127.0.0.1:{callback_port}",
        "GOMATCH_RESULT_TIMEOUT": "25",
        "GOMATCH_MARKET": "BTC-USDT",
        "GOMATCH_MATCHER_PORT": str(matcher_port),
    }
    gomatch(images.operator, environment, "migrate")
    gomatch(
        images.api,
        environment,
        "markets",
        "create",
        "BTC-USDT",
        "--tick=0.01",
        "--lot=0.001",
    )
    tokens = {user: new_token(images.api, environment, user) for user in ("alice", "bob")}
    with (
        container(images.api, environment) as api,
        container(images.matcher, environment) as matcher,
    ):
        wait_until_ready(api_port)
        wait_until_ready(matcher_port)
        assert status_of_order(api_port, tokens["alice"], side="buy") == "open"
        assert status_of_order(api_port, tokens["bob"], side="sell") == "filled"
        for program in (api, matcher):
            docker("stop", "--time=30", program)
            assert docker("inspect", "--format={{.State.ExitCode}}", program) == "0"


def python(image: str, code: str, *arguments: str) -> str:
    options = ["--rm", "--read-only", "--network=none", "--entrypoint=python"]
    return docker("run", *options, image, "-c", code, *arguments)


def gomatch(image: str, environment: dict[str, str], *arguments: str) -> str:
    """What the command line says in ``image``."""
    options = ["--rm", "--network=host", "--entrypoint=gomatch", *locked_down(image)]
    return docker("run", *options, *environment_options(environment), image, *arguments)


def new_token(image: str, environment: dict[str, str], user: str) -> str:
    created = gomatch(image, environment, "keys", "create", f"--user={user}", "--json")
    token = json.loads(created)["token"]
    assert isinstance(token, str)
    return token


def status_of_order(port: int, token: str, *, side: str) -> str:
    """Place a limit order and wait until it is matched."""
    order = {
        "market": "BTC-USDT",
        "side": side,
        "type": "limit",
        "price": "50000.00",
        "quantity": "0.01",
    }
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/orders?wait=result",
        json=order,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["order"]["status"])


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    said = ""
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5)
        except httpx.TransportError as error:
            said = repr(error)
        else:
            if answer.status_code == 200:
                return
            said = answer.text
        time.sleep(0.1)
    raise AssertionError(f"not ready after a minute: {said}")
