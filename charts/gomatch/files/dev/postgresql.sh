# Starts a single PostgreSQL on /data. With arguments: runs them as the server's user, as in
# `sh /etc/gomatch/start.sh psql`.
set -eu
credentials=/etc/gomatch/credentials
for folder in /usr/lib/postgresql/*/bin; do
    PATH=$folder:$PATH
done
PGUSER=$(cat "$credentials/username")
PGPASSWORD=$(cat "$credentials/password")
export PATH PGUSER PGPASSWORD PGHOST=127.0.0.1 PGPORT="$PORT" PGDATABASE="$DATABASE"
if [ $# -gt 0 ]; then
    exec "$@"
fi

cluster=/data/postgresql
single() { # SQL
    printf '%s\n' "$1" | postgres --single -c exit_on_error=on -D "$2" postgres >/dev/null
}
if [ ! -d "$cluster" ]; then
    rm -rf "$cluster.new"
    initdb --pgdata="$cluster.new" --username="$PGUSER" --pwfile="$credentials/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C
    echo "host all all all scram-sha-256" >>"$cluster.new/pg_hba.conf"
    single "CREATE DATABASE \"$DATABASE\"" "$cluster.new"
    mv "$cluster.new" "$cluster"
fi
# The Secret may have changed since.
single "ALTER ROLE \"$PGUSER\" PASSWORD '$(printf %s "$PGPASSWORD" | sed "s/'/''/g")'" "$cluster"

postgres -D "$cluster" -c listen_addresses='*' -c port="$PORT" -c unix_socket_directories=/tmp \
    -c max_connections=400 &
server=$!
# SIGTERM alone would wait until every client has gone.
trap 'kill -INT "$server"' TERM INT
while kill -0 "$server" 2>/dev/null; do
    wait "$server" || true
done
