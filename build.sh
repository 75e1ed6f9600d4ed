#!/usr/bin/env bash
# The one entry for people who build SafeOS: ./build.sh help
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Folders in arguments are named from here.
called_from=$PWD
cd "$root"

# Only for what is built here: a command that is run must not find it in its environment.
given_target=${CARGO_TARGET_DIR-}
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/safeos
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

# The oldest compiler that will do, as the workspace says, and the one that rustup is asked for.
rust_needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
rust_pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)

say() { printf '%s\n' "build.sh: $*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

. recipes/redox.sh
. recipes/image.sh
. recipes/patches.sh
. recipes/qemu.sh
. recipes/guest.sh

help() {
    cat <<'TEXT'
./build.sh COMMAND

  run [-- ARGUMENTS]   set up, build, and run SafeOS here on a store in your data folder;
                       ARGUMENTS go to `safe run`: NAME [--signup] [-- COMMAND…]
                       without a name it asks for one; without a command it opens your shell
                       the client of the network is built only for a store on it (--store or SAFE_STORE
                       is autonomi:): it takes several times as long as all the rest
  test [--strict]      set up, then every test; what was skipped is counted and named at the end.
                       --strict: runs the long ones too, and a skipped test is a failure
  bench [-- ARGUMENTS] set up, then the benchmark beside gocryptfs, rclone and a pass-through mount;
                       with --line over a line with delays, beside curl, sshfs with gocryptfs and rclone
  soak MINUTES         set up, then two computers at work at a gateway for so long: what they take must not
                       grow, and what they hold must be the same
  interleavings [ORDERS]
                       run writers, a publish and a collection of one home in so many orders of their threads
                       (10000, if nothing is said)
  devnet [-- ARGUMENTS]
                       build and start a local network of real nodes, for development; ARGUMENTS go to
                       `safe devnet`
  setup [--store URL]  only install what is needed and build what that store needs
  redox                compile what a Redox image carries for x86_64-unknown-redox, without a Redox toolchain
                       if need be
  image --redox-tree DIR [--any-revision] [--console] [--patches]
                       put SafeOS's recipes and image configuration into a checkout of the Redox build
                       system, and run its make; --console: with consoles to log in on, for developers;
                       --patches: and what cookbook-patches has for the tree's own recipes;
                       see recipes/README.md
  image --redox-tree DIR --remove
                       take them out again; the images stay
  qemu --redox-tree DIR [--image FILE]
                       start the newest image of that tree, or FILE, in QEMU; builds nothing
  qemu-test --redox-tree DIR
  qemu-test --image FILE --sysroot DIR [--firmware FILE]
                       start a copy of a Redox image in QEMU and test SafeOS inside of it; DIR has relibc's lib
                       and include. If the image has Orbital, the sign-in screen is tested too
  help                 this text

Missing tools are installed with the system's package manager (as root or with sudo), or the line to
run is printed. The build goes to CARGO_TARGET_DIR, else to ~/.cache/safeos/target.
TEXT
}

# ---- installing -------------------------------------------------------------------------------

# Runs a command as root, or prints it and gives up.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$@"
    else
        say "something is missing on this computer; run this once as root, then try again:"
        say "    $*"
        exit 1
    fi
}

apt_updated=
apt_update() {
    [ -z "$apt_updated" ] || return 0
    apt_updated=1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 || say "apt-get update failed; going on with the lists that are there"
}

# install DEBIAN-NAME…: the packages by their Debian names.
install() {
    [ $# -gt 0 ] || return 0
    say "installing: $*"
    if have apt-get; then
        apt_update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
    elif have dnf; then
        as_root dnf install -y $(other_names dnf "$@") >&2
    elif have pacman; then
        as_root pacman -S --needed --noconfirm $(other_names pacman "$@") >&2
    elif have apk; then
        as_root apk add $(other_names apk "$@") >&2
    else
        die "no package manager is known here; install by hand: $*"
    fi
}

# Where other systems call a package something else.
other_names() {
    local manager=$1 name
    shift
    for name in "$@"; do
        case $manager:$name in
            dnf:libc6-dev) echo glibc-devel ;;
            pacman:libc6-dev) echo glibc ;;
            apk:libc6-dev) echo musl-dev ;;
            *:pkg-config) echo pkgconf ;;
            dnf:sqlite3 | pacman:sqlite3 | apk:sqlite3) echo sqlite ;;
            dnf:libssl-dev) echo openssl-devel ;;
            pacman:libssl-dev) echo openssl ;;
            apk:libssl-dev) echo openssl-dev ;;
            dnf:procps) echo procps-ng ;;
            pacman:procps) echo procps-ng ;;
            dnf:xvfb) echo xorg-x11-server-Xvfb ;;
            pacman:xvfb) echo xorg-server-xvfb ;;
            dnf:libsdl2-dev) echo SDL2-devel ;;
            pacman:libsdl2-dev) echo sdl2 ;;
            apk:libsdl2-dev) echo sdl2-dev ;;
            dnf:xz-utils | pacman:xz-utils) echo xz ;;
            *) echo "$name" ;;
        esac
    done
}

# want COMMAND PACKAGE…: notes the packages if the command is missing.
wanted=()
want() {
    local command=$1
    shift
    have "$command" || wanted+=("$@")
}

install_wanted() {
    local packages=("${wanted[@]}")
    wanted=()
    [ ${#packages[@]} -eq 0 ] || install "${packages[@]}"
}

# at_least HAVE NEED: compares versions.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

rust_here() {
    have cargo && have rustc || return 1
    local version
    version=$(rustc --version 2>/dev/null | awk '{print $2}') || return 1
    [ -n "$version" ] && at_least "$version" "$rust_needed"
}

# The version apt would install, without epoch and Debian's suffix.
candidate() {
    apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ {print $2}' | sed 's/^[0-9]*://; s/[+~-].*//' | grep -v '(none)' || true
}

# rustup's toolchain is the one that rust-toolchain.toml names. Where it cannot be had now, another that is here and new
# enough will do.
setup_rustup() {
    [ -z "${RUSTUP_TOOLCHAIN:-}" ] || return 0
    ! rustup toolchain list 2>/dev/null | grep -q "^$rust_pinned-" || return 0
    say "asking rustup for Rust $rust_pinned"
    rustup toolchain install "$rust_pinned" --profile minimal --component rustfmt --component clippy >&2 && return 0
    export RUSTUP_TOOLCHAIN=stable
}

setup_rust() {
    # An installation of rustup's that this shell has not been told of.
    if ! have cargo && [ -x "${HOME:-/}/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
    # Else the first `rustc` would fetch it, in silence.
    if have rustup; then setup_rustup; fi
    rust_here && return 0
    if have apt-get; then
        apt_update
        local suffix version
        for suffix in "" -web -mozilla; do
            version=$(candidate "rustc$suffix")
            if [ -n "$version" ] && at_least "$version" "$rust_needed"; then
                install "rustc$suffix" "cargo$suffix"
                # Before an older one of somebody else's.
                PATH=/usr/bin:$PATH
                hash -r
                rust_here && return 0
            fi
        done
        if [ -n "$(candidate rustup)" ]; then
            install rustup
            hash -r
            setup_rustup
            rust_here && return 0
        fi
    elif have dnf || have pacman || have apk; then
        install rust cargo || install rust
        hash -r
        rust_here && return 0
    fi
    die "Rust $rust_needed or newer is needed and no package offers it: install it from your system or from rustup, then run this again"
}

setup_fuse() {
    if [ ! -e /dev/fuse ] && have modprobe; then
        as_root modprobe fuse 2>/dev/null || true
    fi
    [ -e /dev/fuse ] || die "this computer has no /dev/fuse: load the kernel module fuse, or give the container the device (--device /dev/fuse --cap-add SYS_ADMIN)"
    if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
        as_root chmod 666 /dev/fuse
    fi
}

# What building and running need.
setup_basics() {
    want fusermount3 fuse3
    want cc gcc libc6-dev
    want git git
    if have apt-get && [ ! -e /usr/include/stdlib.h ]; then wanted+=(libc6-dev); fi
    if have apt-get && [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then wanted+=(ca-certificates); fi
    install_wanted
    setup_rust
    setup_fuse
}

# What the network's client needs besides.
setup_client() {
    # It would compile an OpenSSL of its own, for minutes. The system's is kept up to date besides.
    export OPENSSL_NO_VENDOR=1
    want pkg-config pkg-config
    { have pkg-config && pkg-config --exists openssl; } || wanted+=(libssl-dev)
    install_wanted
}

# What the tests use besides.
setup_test_tools() {
    setup_client
    want sqlite3 sqlite3
    want rsync rsync
    want getfattr attr
    want getfacl acl
    want python3 python3
    want xz xz-utils
    want ps procps
    want mkfs.ext4 e2fsprogs
    want losetup mount
    want make make
    want c++ g++
    install_wanted
    setup_screen
    if ! cargo fmt --version >/dev/null 2>&1; then rust_component rustfmt rustfmt-web rustfmt; fi
    if ! cargo clippy --version >/dev/null 2>&1; then rust_component clippy rust-web-clippy rust-clippy; fi
}

# The sign-in screen's window is tested on a screen that nobody sees. Without one its test says so.
setup_screen() {
    want Xvfb xvfb
    want xdotool xdotool
    sdl_here || wanted+=(libsdl2-dev)
    (install_wanted) || say "going on without the window of the sign-in screen"
    wanted=()
}
sdl_here() { pkg-config --exists sdl2; }
# The chain of a local network: anvil, whose program the package for this kind of computer carries.
anvil_version=1.7.1
setup_anvil() {
    [ -z "${SAFE_ANVIL:-}" ] || return 0
    local machine package folder=$cache/anvil-$anvil_version
    case $(uname -m) in
        x86_64) machine=amd64 ;;
        aarch64) machine=arm64 ;;
        *) die "anvil, the chain of local networks, is not made for $(uname -m): name one in SAFE_ANVIL" ;;
    esac
    package=@foundry-rs/anvil-linux-$machine
    export SAFE_ANVIL=$folder/node_modules/$package/bin/anvil
    [ ! -x "$SAFE_ANVIL" ] || return 0
    want npm npm
    install_wanted
    say "installing: anvil $anvil_version"
    npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts --loglevel error "$package@$anvil_version" >&2 \
        || die "anvil, the chain of local networks, cannot be installed: try \`npm install $package@$anvil_version\` by hand and name its bin/anvil in SAFE_ANVIL"
    chmod +x "$SAFE_ANVIL"
}

# rust_component NAME PACKAGE-OF-RUSTC-WEB PACKAGE: a part of the compiler that came without it.
rust_component() {
    if have rustup; then
        rustup component add "$1" >&2 || true
    elif have dpkg && dpkg -s rustc-web >/dev/null 2>&1; then
        install "$2" || true
    elif have apt-get; then
        install "$3" || true
    fi
}

# optional COMMAND PACKAGE…: what a benchmark can do without.
optional() {
    have "$1" && return 0
    # In a shell of its own: what cannot be installed is left out.
    (shift && install "$@") || say "going on without $1"
}

# ---- commands ---------------------------------------------------------------------------------

# The store that the arguments of `safe` name, else the one that `safe` takes then.
store_of() {
    local store=${SAFE_STORE:-}
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        case $1 in
            --store) store=${2:-} ;;
            --store=*) store=${1#--store=} ;;
        esac
        shift
    done
    printf '%s\n' "$store"
}

# On a terminal cargo shows itself how far it is; elsewhere it is said from time to time, in place of a line a crate.
# progress COUNT: of that many crates.
progress() {
    awk -v total="$1" '
        /^ *Compiling / { if (++done % 20 == 0) { printf "build.sh: %d of %d crates\n", done, total; fflush() }; next }
        { print; fflush() }' >&2
}

# build_release STORE: the programs that a home on this store needs.
build_release() {
    local packages=(-p safe -p safed) count what="safe and safed" start=$SECONDS
    case $1 in
        autonomi:*)
            packages+=(--features safe/autonomi --features safed/autonomi)
            what+=" with the client of the network"
            setup_client
            ;;
    esac
    count=$(cargo tree --locked "${packages[@]}" -e normal,build --prefix none --no-dedupe | sed 's/ (\*)$//' | sort -u | wc -l)
    say "building $what: $count crates, the first time"
    if [ -t 2 ]; then
        cargo build --release --locked "${packages[@]}"
    else
        cargo build --release --locked "${packages[@]}" 2>&1 | progress "$count"
    fi
    say "built in $((SECONDS - start)) s"
}

setup() {
    say "1 of 2: what building needs"
    setup_basics
    say "2 of 2: the programs"
    build_release "$(store_of "$@")"
    say "built: $CARGO_TARGET_DIR/release/safe and safed"
}

run() {
    [ "${1:-}" != -- ] || shift
    say "1 of 3: what building needs"
    setup_basics
    say "2 of 3: the programs"
    build_release "$(store_of "$@")"
    say "3 of 3: the home"
    local safe=$CARGO_TARGET_DIR/release/safe
    [ -n "$given_target" ] || unset CARGO_TARGET_DIR
    if [ $# -gt 0 ]; then
        exec "$safe" run "$@"
    fi
    [ -t 0 ] || die "no name was given: ./build.sh run -- NAME [--signup] [-- COMMAND…]"
    local name answer
    read -r -p "Account name: " name
    [ -n "$name" ] || die "no name was given"
    read -r -p "Make a new account of this name? [y/N] " answer
    case $answer in
        [yYjJ]*) exec "$safe" run "$name" --signup ;;
        *) exec "$safe" run "$name" ;;
    esac
}

failed=()
section() {
    local title=$1 start=$SECONDS
    shift
    printf '\n==== %s\n' "$title"
    # Only what is printed: on stderr cargo shows on a terminal how far it is.
    if "$@" | tee -a "$log"; then
        printf '==== %s: done in %d s\n' "$title" $((SECONDS - start))
    else
        printf '==== %s: FAILED after %d s\n' "$title" $((SECONDS - start))
        failed+=("$title")
    fi
}

# beside TITLE COMMAND…: starts what `section TITLE joined TITLE` prints later, when it has ended.
beside_work=
beside() {
    local title=$1
    shift
    { "$@" && echo 0 || echo 1; } >"$beside_work/$title" 2>&1 &
    echo $! >"$beside_work/$title.process"
}
joined() {
    local output=$beside_work/$1
    # A section is a pipe's process, whose children these are not.
    while kill -0 "$(<"$output.process")" 2>/dev/null; do sleep 0.5; done
    sed '$d' "$output"
    [ "$(tail -n 1 "$output")" = 0 ]
}

scripts=(build.sh .ci/run tests/run recipes/redox.sh recipes/image.sh recipes/patches.sh recipes/qemu.sh recipes/guest.sh tests/image/run tests/qemu/cc)
check_scripts() {
    local script
    for script in "${scripts[@]}"; do bash -n "$script" || return 1; done
    ! have shellcheck || shellcheck -s bash -S warning -e SC2046 "${scripts[@]}"
}
# Both workspaces' lock files fit their manifests: found here at once, not after the tests.
check_locks() {
    local manifest
    for manifest in Cargo.toml fuzz/Cargo.toml; do
        cargo metadata --locked --format-version 1 --manifest-path "$manifest" >/dev/null || return 1
    done
}
# The sign-in screen has a window where SDL is.
window_feature() { ! sdl_here || echo --features orbital-login/sdl; }
check_format() { cargo fmt --all --check; }
# Without the crate that is there to compare with ant-protocol: 500 crates would be checked for one short file.
check_lints() { cargo clippy --workspace --exclude safeos-compat-tests $(window_feature) --all-targets --locked -- -D warnings; }

check_dependencies() {
    cargo deny --version >/dev/null 2>&1 || {
        echo "skipped: cargo-deny is not installed (cargo install cargo-deny)"
        return 0
    }
    cargo deny --offline --locked check bans licenses sources 2>&1 || return 1
    cargo deny --locked check advisories 2>&1 || {
        # Without the network there is no list of advisories; with it, a finding is a failure.
        cargo deny fetch db >/dev/null 2>&1 && return 1
        echo "skipped: the advisories cannot be fetched from here"
    }
}

# Every fuzz target for a few seconds. The stable compiler does the instrumentation that libFuzzer needs;
# the sanitizers and long runs need a nightly one (fuzz/README.md).
fuzz_seconds=${SAFEOS_FUZZ_SECONDS:-5}
smoke_fuzz() {
    local host flags target folder=$CARGO_TARGET_DIR/fuzz out
    host=$(rustc -vV | sed -n 's/^host: //p')
    flags="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module"
    flags+=" -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
    flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
    RUSTFLAGS=$flags cargo build --release --locked --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$folder" || return 1
    out=$(mktemp -d)
    for target in fuzz/fuzz_targets/*.rs; do basename "$target" .rs; done |
        xargs -P "$(nproc)" -n 1 bash -c 'smoke_fuzz_one "$@"' _ "$folder/$host/release" "$out" "$fuzz_seconds" || return 1
    rm -rf "$out"
}
smoke_fuzz_one() {
    local folder=$1 out=$2 seconds=$3 target=$4
    mkdir "$out/$target"
    if "$folder/$target" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=64 -timeout=10 -max_len=65536 \
        -artifact_prefix="$out/$target-" "$out/$target" >"$out/$target.log" 2>&1; then
        echo "fuzz target $target: $(grep -o 'Done [0-9]* runs' "$out/$target.log" || true)"
    else
        tail -n 40 "$out/$target.log"
        echo "fuzz target $target: FAILED; the input is kept in $out"
        # xargs starts no other.
        return 255
    fi
}
export -f smoke_fuzz_one

# The threads of a session in many orders: ORDERS of each test.
interleavings() {
    [[ $1 =~ ^[1-9][0-9]{0,8}$ ]] || die "\`interleavings\` wants how many orders to try: ./build.sh interleavings 10000"
    SAFE_INTERLEAVINGS=$1 cargo test --locked -p safeos-session --features shuttle --lib interleavings 2>&1
}

log=
# `--include-ignored` with --strict.
ignored=()
run_tests() {
    sdl_here || echo "SKIPPED: the window of the sign-in screen needs SDL's development files"
    # All at once: built by themselves, the programs would have other features of the same crates and be built twice.
    cargo build --workspace --bins --tests $(window_feature) --locked || return 1
    # The programs that the tests of mounted homes start.
    SAFEOS_BIN=$CARGO_TARGET_DIR/debug SAFEOS_TEST_LIMIT=$((${#ignored[@]} > 0 ? 6000 : 1500)) tests/run --workspace $(window_feature) --locked -- "${ignored[@]}" 2>&1
}

# What `image` and `qemu` do to a tree, with a tree made for it.
test_image() { bash tests/image/run 2>&1; }

# What the log says was not tested, a line each.
skipped_tests() {
    sed -n 's/.*SKIPPED: //p; s/^skipped: //p; s/^test \(.*\) \.\.\. ignored\(, \)\{0,1\}/\1 /p' "$log" | sort -u
}

test_all() {
    local start=$SECONDS strict=
    case ${1:-} in
        "") ;;
        --strict) strict=1 ignored=(--include-ignored) ;;
        *) die "\`test\` does not know $1" ;;
    esac
    setup_basics
    setup_test_tools
    setup_anvil
    # Nothing of the user's own sessions reaches the tests.
    unset SAFE_STATE SAFE_STORE SAFE_MOUNT SAFE_TOKEN_FILE SAFE_CA_FILE SAFE_WALLET_KEY_FILE SAFE_SPEND_MAX SAFE_NODE SAFE_PASSWORD_FILE SAFE_NEW_PASSWORD_FILE SAFE_SECRET_KEY_FILE
    log=$(mktemp) beside_work=$(mktemp -d)
    trap 'rm -rf "$log" "$beside_work"; kill $(jobs -p) 2>/dev/null || true' EXIT
    section "scripts" check_scripts
    section "lock files" check_locks
    section "format" check_format
    section "lints" check_lints
    section "dependencies" check_dependencies
    # It waits for files and downloads more than for processors.
    beside image test_image
    section "tests" run_tests
    section "interleavings" interleavings 200
    section "redox" redox_section
    section "image" joined image
    section "guest" guest_section
    section "fuzz targets" smoke_fuzz
    printf '\n==== all of it: %d s\n' $((SECONDS - start))
    local sum skipped
    skipped=$(skipped_tests)
    sum=$(awk '
        /^test result:/ {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") passed += $(i - 1)
                if ($i == "failed;") failed += $(i - 1)
            }
        }
        END { printf "%d passed, %d failed", passed, failed }' "$log")
    [ -z "$skipped" ] || sed 's/^/skipped: /' <<<"$skipped"
    sum+=", $(grep -c . <<<"$skipped" || true) skipped"
    if [ -n "$strict" ] && [ -n "$skipped" ]; then failed+=("--strict: something was skipped"); fi
    [ ${#failed[@]} -eq 0 ] || printf 'failed: %s\n' "${failed[@]}"
    printf '%s\n' "$sum"
    [ ${#failed[@]} -eq 0 ]
}

devnet() {
    [ "${1:-}" != -- ] || shift
    setup_basics
    setup_anvil
    build_release autonomi:
    cargo build --release --locked -p safeos-node
    exec "$CARGO_TARGET_DIR/release/safe" devnet "$@"
}

bench() {
    [ "${1:-}" != -- ] || shift
    setup_basics
    want sqlite3 sqlite3
    install_wanted
    optional gocryptfs gocryptfs
    optional rclone rclone
    case " $* " in *" --line "*)
        optional curl curl
        optional sshfs sshfs
        optional /usr/lib/openssh/sftp-server openssh-sftp-server
        ;;
    esac
    build_release ""
    cargo build --release --locked -p safeos-bench
    exec "$CARGO_TARGET_DIR/release/safeos-bench" "$@"
}

soak() {
    [ $# -eq 1 ] || die "\`soak\` wants the minutes: ./build.sh soak 30"
    setup_basics
    build_release ""
    cargo build --release --locked -p safeos-cli-tests --example soak
    SAFEOS_BIN=$CARGO_TARGET_DIR/release exec "$CARGO_TARGET_DIR/release/examples/soak" "$1"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
    run) run "$@" ;;
    test) test_all "$@" ;;
    bench) bench "$@" ;;
    soak) soak "$@" ;;
    interleavings) interleavings "${1:-10000}" ;;
    devnet) devnet "$@" ;;
    setup) setup "$@" ;;
    redox) redox "$@" ;;
    image) image "$@" ;;
    qemu) qemu "$@" ;;
    qemu-test) qemu_test "$@" ;;
    help | -h | --help) help ;;
    *)
        say "there is no command '$command'"
        help >&2
        exit 2
        ;;
esac
