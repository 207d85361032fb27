#!/usr/bin/env bash
# A Docker daemon of our own, with its data in the cache and its own socket. Usage: docker.sh start|stop|running
# `start` prints the address for DOCKER_HOST when it answers, `running` prints it if it runs already; `stop` ends the
# one that `start` began, by its pid.
set -euo pipefail
# shellcheck source=tests/e2e/cluster/common.sh
. "$(dirname "$0")/common.sh"
data=$cache/docker
run=/run/gomatch-docker # short: a socket's path has at most 107 characters
address=unix://$run/docker.sock

# PID: of a daemon that was killed, the number may be another process's by now.
is_dockerd() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = dockerd ]; }
running() { [ -f "$run/pid" ] && is_dockerd "$(cat "$run/pid")"; }
answers() { timeout 20 docker --host "$address" info >/dev/null 2>&1; }

# Each node's systemd, containerd and kubelet watch files; Debian's limit is used up by two clusters.
allow_watching() {
    local limit=/proc/sys/fs/inotify/max_user_instances
    [ "$(cat $limit)" -ge 1024 ] || echo 1024 >$limit
}

start() {
    local started=$SECONDS
    mkdir -p "$data" "$run"
    chmod 700 "$run"
    exec 9>"$data/.lock"
    flock 9
    allow_watching
    if ! running; then
        rm -f "$run/pid" "$run/docker.sock"
        setsid dockerd --data-root "$data/data" --exec-root "$run/exec" --host "$address" --pidfile "$run/pid" \
            --log-level warn >"$data/log" 2>&1 </dev/null 9>&- &
    fi
    until answers || ((SECONDS - started > 120)); do sleep 0.2; done
    answers || { tail -20 "$data/log" >&2; fail "dockerd does not answer; its log is $data/log"; }
    step "$started" "dockerd runs"
}

stop() {
    local pid tries
    running || return 0
    pid=$(cat "$run/pid")
    kill "$pid" || true # by now it may have ended, here and below
    for ((tries = 0; tries < 300; tries++)); do
        is_dockerd "$pid" || return 0
        sleep 0.2
    done
    kill -KILL "$pid" || true
    rm -f "$run/pid"
}

case ${1:-} in
    start)
        start
        echo "$address"
        ;;
    stop) stop ;;
    running) ! running || echo "$address" ;;
    *) fail "usage: docker.sh start|stop|running" ;;
esac
