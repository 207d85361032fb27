#!/usr/bin/env bash
# Makes the image of the servers that a cluster's tests use, from Debian 13: RabbitMQ with its management plugin,
# PostgreSQL 17 and Valkey. Prints its name.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/cluster/common.sh
. "$here/common.sh"
image=$repository/servers:13
inputs=$(digest "$0" "$here/root-filesystem.sh")
if ! image_is "$image" "$inputs"; then
    tar=$("$here/root-filesystem.sh" trixie minbase rabbitmq-server,postgresql-17,valkey-server,ca-certificates)
    started=$SECONDS
    docker import --change 'ENV LANG=C.UTF-8' --change "LABEL gomatch.inputs=$inputs" \
        --change 'ENV PATH=/usr/lib/postgresql/17/bin:/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$tar" "$image" >/dev/null
    step "$started" "$image imported"
fi
echo "$image"
