#!/usr/bin/env bash
# Gives the pods of a kind cluster without CNI their network: a bridge on each node and routes between the nodes.
# Run it after `kind create cluster`, and again after a node has restarted. It ends when the cluster's DNS answers.
# kubectl, docker and KUBECONFIG are those of the caller.
set -euo pipefail
pods=10.244.0.0/16 services=10.96.0.0/16

nodes() { # NAME POD-SUBNET ADDRESS, a line each
    kubectl get nodes --output jsonpath='{range .items[*]}{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
}

for ((tries = 0; ; tries++)); do
    all=$(nodes)
    grep -q -v '^[^ ]* [0-9.]*/[0-9]* [0-9.]*$' <<<"$all" || break # the one that has none yet
    ((tries < 240)) || { printf 'a node has no pod subnet:\n%s\n' "$all" >&2; exit 1; }
    sleep 0.5
done

# As usual, and not on whichever node is ready first: a worker may be stopped by a test.
kubectl --namespace kube-system patch deployment coredns --patch \
    '{"spec": {"template": {"spec": {"nodeSelector": {"node-role.kubernetes.io/control-plane": ""}}}}}'

while read -r node subnet _; do
    routes=$(while read -r other other_subnet address; do
        [ "$node" = "$other" ] || echo "ip route replace $other_subnet via $address"
    done <<<"$all")
    docker exec --interactive "$node" sh -eu <<S
cat >/etc/cni/net.d/10-bridge.conflist <<J
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$subnet"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J
rule="POSTROUTING -s $pods ! -d $pods -j MASQUERADE"
iptables -t nat -C \$rule 2>/dev/null || iptables -t nat -A \$rule
# A Service address that kube-proxy has no rules for, yet, must not leave the node.
for chain in OUTPUT FORWARD; do
    rule="\$chain -d $services -o eth0 -j REJECT"
    iptables -C \$rule 2>/dev/null || iptables -I \$rule
done
$routes
S
done <<<"$all"
kubectl wait --for=condition=Ready nodes --all --timeout=120s
kubectl --namespace kube-system rollout status deployment/coredns --timeout=120s
