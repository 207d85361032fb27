# Starts a single Valkey that keeps nothing on disk: the mirror is made anew from memory.
set -eu
umask 077
cat >/tmp/valkey.conf <<EOF
port $PORT
dir /data
save ""
appendonly no
requirepass "$(cat /etc/gomatch/credentials/password)"
EOF
exec valkey-server /tmp/valkey.conf
