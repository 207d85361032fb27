"""How the operator reaches the API server and who it is there."""

from __future__ import annotations

from pathlib import Path

import kopf
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
    await _identify(configuration, kubeconfig)
    client = ApiClient(configuration)
    client.user_agent = "gomatch-operator"
    return client


async def login_with_kubeconfig(kubeconfig: Path) -> kopf.ConnectionInfo:
    """The same for kopf, which knows only the file that the environment names.

    Raises ConfigurationError.
    """
    configuration = Configuration()
    await _identify(configuration, kubeconfig)
    scheme, _, token = (configuration.api_key.get("BearerToken") or "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        scheme=scheme or None,
        token=token or None,
    )


async def _identify(configuration: Configuration, kubeconfig: Path | None) -> None:
    try:
        if kubeconfig is None:
            config.load_incluster_config(configuration)
        else:
            await config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError, YAMLError) as error:
        source = kubeconfig or "the pod's ServiceAccount"
        raise ConfigurationError(f"no access to Kubernetes by {source}: {error}") from error
