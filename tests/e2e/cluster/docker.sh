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

# PID COMMAND: of one that was killed, the number may be another process's by now, or that of one that has ended and
# whose parent does not care.
is_running() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] && grep -q . "/proc/$1/cmdline" 2>/dev/null; }
running() { [ -f "$run/pid" ] && is_running "$(cat "$run/pid" 2>/dev/null)" dockerd; }
answers() { timeout 20 docker --host "$address" info >/dev/null 2>&1; }

# Each node's systemd, containerd and kubelet watch files; Debian's limit is used up by two clusters.
allow_watching() {
    local limit=/proc/sys/fs/inotify/max_user_instances
    [ "$(cat $limit)" -ge 1024 ] || echo 1024 >$limit
}

begin() {
    local containerd=$run/exec/containerd/containerd.pid
    rm -f "$run/pid" "$run/docker.sock"
    # dockerd takes whatever process has this number for its containerd: it would wait for it, and end it.
    [ ! -f "$containerd" ] || is_running "$(cat "$containerd")" containerd || rm -f "$containerd"
    setsid dockerd --data-root "$data/data" --exec-root "$run/exec" --host "$address" --pidfile "$run/pid" \
        --log-level warn >>"$data/log" 2>&1 </dev/null 9>&- &
    daemon=$!
}

start() {
    local started=$SECONDS daemon=
    mkdir -p "$data" "$run"
    chmod 700 "$run"
    exec 9>"$data/.lock"
    flock 9
    allow_watching
    running || { : >"$data/log"; begin; }
    until answers; do
        ((SECONDS - started < 180)) || { tail -20 "$data/log" >&2; fail "dockerd does not answer; its log is $data/log"; }
        # It ends when its containerd takes longer than 15 s, as on a machine that stands still.
        running || kill -0 "$daemon" 2>/dev/null || begin
        sleep 0.2
    done
    step "$started" "dockerd runs"
}

stop() {
    local pid tries
    running || return 0
    pid=$(cat "$run/pid") || return 0
    kill "$pid" || true # by now it may have ended, here and below
    for ((tries = 0; tries < 300; tries++)); do
        is_running "$pid" dockerd || return 0
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
