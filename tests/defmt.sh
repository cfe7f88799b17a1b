#!/usr/bin/env bash
# Proves that camlane-core's types go through defmt: runs examples/defmt, which decodes its own log on the host, and
# looks for the values that it must have printed.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(
  DEFMT_LOG=info RUST_LOG=info CARGO_TARGET_DIR=target/defmt \
    cargo run --quiet --manifest-path examples/defmt/Cargo.toml 2>&1
) || {
  echo "$log" >&2
  echo "defmt: the example failed" >&2
  exit 1
}

# shellcheck disable=SC2016 # the dollar is part of an NMEA sentence
wanted=(
  'INFO ] shape Shape { slots: 4,'
  'INFO ] spec LaneSpec { shape: Shape { slots: 4,'
  'INFO ] lane LaneInfo { name: "front-door",'
  'INFO ] published Published { number: 2, asleep: 0 }'
  'INFO ] frame 2 missed 1 FrameMeta { layout: FrameLayout { format: PixelFormat(1025), width: 96, height: 64,'
  'Plane { offset: 6144, stride: 96, rows: 32, bytes: 3072 }'
  'capture_ns: 1234567890,'
  'clock: Clock(1), reference: Reference(1),'
  'flags: Flags(8),'
  'exposure_ns: Some(4000000), frame_duration_ns: None,'
  'INFO ] seat SeatUse { seat: 0, pid: 4711, cursor: 2, pins: 1, sleeping: false }'
  'WARN ] refused AllPinned { pins: 1 }'
  'INFO ] state Closed'
  'INFO ] stream Written { bytes: 24, asleep: false }'
  'INFO ] read b"$GPGGA,123519,4807.038,N"'
  'WARN ] refused BeyondGrant { bytes: 99, granted: 24 }'
)
for line in "${wanted[@]}"; do
  if [[ $log != *"$line"* ]]; then
    echo "$log" >&2
    echo "defmt: this is missing above: $line" >&2
    exit 1
  fi
done
echo "defmt: all ${#wanted[@]} decoded values are there"
