#!/usr/bin/env bash
# Boots the machine of FOLDER under QEMU and runs a command in it: in the same working folder of the same file system, on
# which nothing that it writes stays. Prints what the command prints, as it comes, and exits with its exit code; with 125
# if the machine died or ran out of time first, its console then follows on stderr. A machine that does not come up, or
# not in time, is started again, which says nothing about the command: it has not begun.
# usage: boot.sh FOLDER COMMAND [ARGUMENT]...
#   CAMERA_VIVID     parameters of vivid; "none": do not load it
#   CAMERA_TIMEOUT   seconds for the command; default 300
#   CAMERA_BOOT      seconds until the command begins; default 120
#   CAMERA_PROCESSORS  of the machine; default 2
# What the command leaves in the folder $JOB comes back in FOLDER/out. PATH, HOME and RUST*, CARGO_*, CAMLANE_*, CAMERA_*
# reach the machine, other variables do not.
set -euo pipefail
folder=$(realpath "$1")
shift
job=$(mktemp -d "$folder/job.XXXXXX")
trap 'rm -rf "$job"' EXIT
mkdir "$job/out"

{
  echo 'echo >/run/job/begun'
  while IFS= read -r -d '' variable; do
    case $variable in
    PATH=* | HOME=* | RUST*=* | CARGO_*=* | CAMLANE_*=* | CAMERA_*=*) printf 'export %s=%q\n' "${variable%%=*}" "${variable#*=}" ;;
    esac
  done < <(env -0)
  printf 'export JOB=/run/job/out KERNEL=%q PATH=$PATH:/usr/sbin:/sbin\n' "$folder/kernel"
  if [[ ${CAMERA_VIVID:-} != none ]]; then
    printf 'modprobe -d "$KERNEL" vivid %s\n' "${CAMERA_VIVID:-n_devs=2 multiplanar=1,2 node_types=0x101,0x101}"
  fi
  printf 'cd %q\n' "$PWD"
  printf '%q ' "$@"
  printf '>/run/job/stdout 2>/run/job/stderr\necho $? >/run/job/code\n'
} >"$job/job.sh"

told() { # what to say before the end of the machine's console
  echo "boot: $1; the end of its console:" >&2
  tail -n 30 "$job/console" >&2
}

# Always emulated: a /dev/kvm that opens may still be unable to run an ordinary kernel. no_timer_check: on a busy host the
# timer comes too late for the kernel's own test of it.
start() {
  rm -f "$job/begun"
  : >"$job/stdout" >"$job/stderr" >"$job/console"
  qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 2048 -smp "${CAMERA_PROCESSORS:-2}" \
    -nodefaults -nographic -no-reboot -serial stdio -monitor none \
    -chardev file,id=stdout,path="$job/stdout",append=on -serial chardev:stdout -serial file:"$job/wire" \
    -kernel "$folder"/kernel/boot/vmlinuz-* -initrd "$folder/initrd.zst" -append "console=ttyS0 panic=-1 quiet no_timer_check" \
    -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=root,mount_tag=root \
    -fsdev local,id=job,path="$job",security_model=none -device virtio-9p-pci,fsdev=job,mount_tag=job \
    </dev/null >"$job/console" 2>&1 &
  machine=$!
}

stop() {
  kill -KILL "$machine" 2>/dev/null || true # one that hangs may not listen
  wait "$machine" || true
}
trap 'told "ended by a signal"; stop; rm -rf "$job"; exit 130' INT TERM

# Waits until a command says yes or the machine has ended; fails if the time is over before.
await() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  until "${@:2}" || ! kill -0 "$machine" 2>/dev/null; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

for try in 1 2 3; do
  start
  began=$SECONDS
  await "${CAMERA_BOOT:-120}" test -e "$job/begun" || true
  if [[ -e $job/begun ]]; then
    echo "boot: the machine was up after $((SECONDS - began)) s" >&2
    break
  fi
  stop
  told "the machine ended or was still not up after $((SECONDS - began)) s, try $try of 3"
done
tail -q -s 0.2 -n +1 --pid=$machine -f "$job/stdout" &
tail -q -s 0.2 -n +1 --pid=$machine -f "$job/stderr" >&2 &
await "${CAMERA_TIMEOUT:-300}" false || stop
wait

if [[ -s $job/wire ]]; then # from a machine that slept, which had no folder of ours after that: see away.py
  tar -xmf "$job/wire" -C "$job" --no-same-owner
fi
rm -rf "$folder/out"
mv "$job/out" "$folder/out"
cp "$job/console" "$folder/console.log"
if [[ ! -s $job/code ]]; then
  told "the machine ended, or its time was over, before the command did"
  exit 125
fi
exit "$(<"$job/code")"
