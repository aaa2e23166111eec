#!/bin/sh
# Runs one fuzz target for FUZZ_SECONDS: run.sh TARGET SEEDS LEARNT FOUND. New inputs go to LEARNT,
# one that breaks something to FOUND. Replay such a one with: TARGET FOUND/NAME-crash-...
set -eu
target=$1 seeds=$2 learnt=$3 found=$4
mkdir -p "$seeds" "$learnt" "$found"
[ -n "$(ls -A "$seeds")" ] || {
	echo "no seed inputs in $seeds" >&2
	exit 1
}
# Much of the memory is the sanitizers' own; an input may take two seconds and 4 KiB. The usual exit
# code of a crash, 77, would read as a skipped test.
exec "$target" -error_exitcode=1 -max_total_time="${FUZZ_SECONDS:-3}" -timeout=2 -rss_limit_mb=1024 -max_len=4096 \
	-print_final_stats=1 -artifact_prefix="$found/$(basename "$target")-" "$learnt" "$seeds"
