# How `run`, `panic_free`, `counts` and `sizes` build, so that core is built once for each target and profile. Sourced by
# all of them.

host=x86_64-unknown-linux-gnu
for tool in cargo rustc; do
  command -v $tool >/dev/null || { echo "${0##*/}: $tool is missing; https://rustup.rs has it" >&2; exit 2; }
done
lld=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld

# Each script has gone to its own directory; a relative path is meant from where it was called.
case ${CARGO_TARGET_DIR:-} in
  '') CARGO_TARGET_DIR=$PWD/target ;;
  /*) ;;
  *) CARGO_TARGET_DIR=$OLDPWD/$CARGO_TARGET_DIR ;;
esac
export CARGO_TARGET_DIR

# What a script says of itself at its head, instead of running; in vain, if that was not asked for.
about() { # argument
  sed -n '2,/^set /s/^# \{0,1\}//p' "${0##*/}"
  case $1 in
    -h | --help) exit 0 ;;
    *) exit 2 ;;
  esac
}

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
