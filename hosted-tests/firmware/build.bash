# How `run`, `panic_free`, `counts` and `sizes` build, so that core is built once for each target and profile. Sourced by
# all of them.

host=x86_64-unknown-linux-gnu
lld=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
export CARGO_TARGET_DIR
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "${BASH_SOURCE[0]}")/target}")

missing=0
need() { # program, Debian packages
  command -v "$1" >/dev/null && return
  echo "${0##*/}: $1 is missing; on Debian: apt-get install -y --no-install-recommends $2" >&2
  missing=1
}

need_compiler() { # target: Debian's compiler, where core has to be built first
  case $1 in
    "$host") need cc gcc ;;
    *)
      need /usr/bin/rustc "rustc-web rust-web-src"
      [ -d /usr/lib/rustlib/src/rust/library ] || need "the source of core" rust-web-src
      ;;
  esac
}

cargo_for() { # target, cargo command, options
  local target=$1 command=$2
  shift 2
  if [ "$target" = "$host" ]; then
    cargo "$command" --target "$target" "$@"
  else
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 cargo --config "target.$target.linker='$lld'" "$command" -Zbuild-std=core \
      --target "$target" "$@"
  fi
}
