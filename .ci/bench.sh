#!/bin/bash
# leveret beside RabbitMQ and Mosquitto on this machine: the same small
# workloads for each in turn, medians, and ratios to leveret.
#
#   .ci/bench.sh [SET...]        SET: idle amqp mqtt durable edge backlog crash syncs
#
# Without a SET: all but syncs, which needs strace. From the environment:
#
#   ROUNDS=3  repetitions      SCALE=1  multiplies the message counts
#   PEERS     brokers to run (leveret rabbitmq mosquitto)
#   SHARED    folder with tools/bench (../shared)
#   OUT       folder for results (bench-results below the temporary folder)
#
# A full run takes about an hour; `SCALE=0.1 ROUNDS=1 .ci/bench.sh amqp mqtt`
# takes minutes. What each figure means stands in the README of tools/bench. A
# load generator on the same cores takes its share, so compare CPU seconds per
# million messages before rates. Everything runs on loopback and is stopped by
# its pid.
set -euo pipefail
cd "$(dirname "$0")/.."

SHARED=$(cd "${SHARED:-../shared}" && pwd)
OUT=${OUT:-${TMPDIR:-/tmp}/bench-results}
read -ra peers <<<"${PEERS:-leveret rabbitmq mosquitto}"
sets=("$@")
[ ${#sets[@]} -gt 0 ] || sets=(idle amqp mqtt durable edge backlog crash)

mkdir -p "$OUT"
export LEVERET=$PWD/bin/leveret LOADGEN=$OUT/loadgen MOSQUITTO=${MOSQUITTO:-/usr/sbin/mosquitto}
make build
(cd "$SHARED/tools/bench" && go build -o "$LOADGEN" .)
for set in "${sets[@]}"; do
  echo "== $set"
  OUT=$OUT/$set.jsonl bash "$SHARED/tools/bench/run.sh" "$set" "${peers[@]}" | tee "$OUT/$set.txt"
done
echo "results are in $OUT"
