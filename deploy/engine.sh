#!/bin/sh
# Make sure that a database engine is there: what `meridian dev` would choose, or PostgreSQL from Debian's packages.
set -eu

found() { echo "engine: $1"; exit 0; }

[ -n "${MERIDIAN_DATABASE_URL:-}" ] && found "the database of MERIDIAN_DATABASE_URL"
[ -x "${COCKROACH_BINARY:-}" ] && found "CockroachDB, $COCKROACH_BINARY"
# Both are worth having: the tests run on every engine present.
command -v cockroach >/dev/null 2>&1 && echo "engine: CockroachDB, $(command -v cockroach)"
command -v postgres >/dev/null 2>&1 && found "PostgreSQL, $(command -v postgres)"
for dir in /usr/lib/postgresql/*/bin; do
  [ -x "$dir/postgres" ] && found "PostgreSQL, $dir"
done
command -v cockroach >/dev/null 2>&1 && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "engine: installing postgresql with apt-get"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends postgresql >/dev/null
  exit 0
fi

cat >&2 <<'MSG'
No database engine was found. Install one of these and run the command again:
  Debian, Ubuntu   sudo apt-get install postgresql
  Fedora           sudo dnf install postgresql-server
  macOS            brew install postgresql@16
  CockroachDB      https://www.cockroachlabs.com/docs/releases, put `cockroach` on the PATH
or name a running database: MERIDIAN_DATABASE_URL=postgresql://user@host:port/database
MSG
exit 1
