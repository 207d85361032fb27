# Starts a single RabbitMQ on /data. With arguments: runs rabbitmqctl, as in
# `sh /etc/gomatch/start.sh list_queues`.
set -eu
umask 077
credentials=/etc/gomatch/credentials
for folder in /opt/erlang/bin /opt/rabbitmq/sbin /usr/lib/rabbitmq/bin; do
    if [ -d "$folder" ]; then
        PATH=$folder:$PATH
    fi
done
export PATH LANG=C.UTF-8 HOSTNAME=localhost
export ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=rabbit@localhost
if [ $# -gt 0 ]; then
    exec rabbitmqctl "$@"
fi

cat >/tmp/rabbitmq.conf <<EOF
listeners.tcp.default = $PORT
management.tcp.port = $MANAGEMENT_PORT
default_vhost = $VHOST
default_user = $(cat "$credentials/username")
default_pass = $(cat "$credentials/password")
default_user_tags.administrator = true
loopback_users = none
log.console = true
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 64000000
EOF
echo '[rabbitmq_management].' >/tmp/enabled_plugins
echo '[].' >/tmp/advanced.config
export RABBITMQ_CONFIG_FILE=/tmp/rabbitmq.conf RABBITMQ_ADVANCED_CONFIG_FILE=/tmp/advanced.config
export RABBITMQ_CONF_ENV_FILE=/tmp/no-environment-file RABBITMQ_ENABLED_PLUGINS_FILE=/tmp/enabled_plugins
export RABBITMQ_MNESIA_BASE=/data/mnesia RABBITMQ_LOG_BASE=/data RABBITMQ_LOGS=- RABBITMQ_PID_FILE=/tmp/rabbitmq.pid
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
# Makes its script replace itself by the server, which then gets SIGTERM.
export RUNNING_UNDER_SYSTEMD=true
exec rabbitmq-server
