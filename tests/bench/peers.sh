#!/bin/sh
# Redis, and PostgreSQL behind pgbouncer, on Unix sockets in a folder of their own, for scripts/bench.
#
#   peers.sh start FOLDER   FOLDER, with a short name, is there; FOLDER/pids tells what runs
#   peers.sh stop FOLDER
#
# After the start FOLDER/redis.sock and FOLDER/pgbouncer.sock are to be used.  PostgreSQL and
# pgbouncer refuse to run as root: then they are user "postgres".
set -eu

# as_server COMMAND ...: in this process's place, as who may run servers.
as_server() {
	if [ "$(id -u)" -eq 0 ]; then
		exec setpriv --reuid postgres --regid postgres --clear-groups "$@"
	else
		exec "$@"
	fi
}

# await NAME TRY ...: until the command succeeds; a server that does not come is an error.
await() {
	name=$1
	shift
	for _ in $(seq 300); do
		if "$@" >>log 2>&1; then return 0; fi
		sleep 0.1
	done
	echo "bench: $name does not start; its log ends with" >&2
	tail -n 5 "$name.log" >&2
	return 1
}

start() {
	if [ "$(id -u)" -eq 0 ]; then chown postgres .; fi
	here=$PWD
	postgres=$(find /usr/lib/postgresql -name postgres -path '*/bin/*' | sort -V | tail -n 1)
	programs=${postgres%/postgres}

	(as_server redis-server --port 0 --unixsocket "$here/redis.sock" --save '' --appendonly no \
		--daemonize no --dir "$here") >redis.log 2>&1 &
	echo "TERM $!" >>pids

	(as_server "$programs/initdb" -D "$here/postgres" -U bench -A trust -E UTF8 --locale C) >initdb.log 2>&1
	(as_server "$postgres" -D "$here/postgres" -c listen_addresses= -c unix_socket_directories="$here") \
		>postgres.log 2>&1 &
	echo "INT $!" >>pids # a fast stop
	await postgres "$programs/psql" -h "$here" -U bench -c 'CREATE DATABASE bench' postgres

	cat >pgbouncer.ini <<END_OF_FILE
[databases]
bench = host=$here dbname=bench user=bench
[pgbouncer]
listen_addr =
unix_socket_dir = $here/pool
listen_port = 5432
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 2000
END_OF_FILE
	mkdir -m 777 pool
	(as_server pgbouncer pgbouncer.ini) >pgbouncer.log 2>&1 &
	echo "TERM $!" >>pids
	await pgbouncer "$programs/psql" -h "$here/pool" -U bench -c 'SELECT 1' bench
	ln -s pool/.s.PGSQL.5432 pgbouncer.sock
	await redis redis-cli -s redis.sock PING
}

# is_alive PID: and not just waiting for its parent, whoever that is by now, to notice.
is_alive() {
	grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"
}

stop() {
	[ -e pids ] || return 0
	# The last one started first: pgbouncer, then what it is connected to.
	tac pids | while read -r signal pid; do
		kill "-$signal" "$pid" 2>/dev/null || continue
		while is_alive "$pid"; do sleep 0.05; done
	done
	rm pids
}

cd "$2"
"$1"
