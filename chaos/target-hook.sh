#!/bin/sh
# A hook for `meridian drill run … --target`: it breaks a deployment as a story asks for, here one whose servers run under Docker Compose.
# Called as: target-hook.sh begin|end|heal, with the step as JSON on standard input. Exit code 3: can not be done here.
set -eu
verb=$1
step=$(cat)
field() { printf '%s' "$step" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
first() { printf '%s' "$step" | sed -n "s/.*\"$1\":\[\"\([^\"]*\)\".*/\1/p"; }

case "$verb" in
heal) exec docker compose up --detach --wait ;;
esac

case "$(field fault) $(first on)" in
"kill server/"* | "stop server/"*)
	service="server-$(first on | cut -d/ -f2)"
	if [ "$verb" = begin ]; then docker compose kill "$service"; else docker compose up --detach --wait "$service"; fi
	;;
"pause server/"*)
	service="server-$(first on | cut -d/ -f2)"
	if [ "$verb" = begin ]; then docker compose pause "$service"; else docker compose unpause "$service"; fi
	;;
*)
	echo "this hook can kill, stop and pause servers; it can not $(field fault)"
	exit 3
	;;
esac
