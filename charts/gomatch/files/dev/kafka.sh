# Starts a single Apache Kafka on /data, broker and controller in one.
set -eu
export LOG_DIR=/tmp KAFKA_HEAP_OPTS="-Xms256m -Xmx256m"
cat >/tmp/server.properties <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=PLAINTEXT://$ADVERTISED:9092
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=/data/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
EOF
if [ ! -f /data/kafka/meta.properties ]; then
    /opt/kafka/bin/kafka-storage.sh format --ignore-formatted \
        --cluster-id "$(/opt/kafka/bin/kafka-storage.sh random-uuid)" --config /tmp/server.properties
fi
exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties
