"""How the operator reaches the API server and who it is there."""

from __future__ import annotations

from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from yaml import YAMLError

from gomatch.errors import ConfigurationError


async def connect(kubeconfig: Path | None = None, *, connections: int = 32) -> ApiClient:
    """As the ServiceAccount of the pod that this runs in, or as the current context of
    ``kubeconfig``. At most ``connections`` are open at once; no call is made here.

    Raises ConfigurationError when there is neither, or it cannot be used.
    """
    configuration = Configuration(connection_pool_maxsize=connections)
    try:
        if kubeconfig is None:
            config.load_incluster_config(configuration)
        else:
            await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError, YAMLError) as error:
        source = kubeconfig or "the pod's ServiceAccount"
        raise ConfigurationError(f"no access to Kubernetes by {source}: {error}") from error
    client = ApiClient(configuration)
    client.user_agent = "gomatch-operator"
    return client
