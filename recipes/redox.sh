# Sourced by build.sh: SafeOS's crates, compiled for Redox on a computer that is not one.
# shellcheck disable=SC2034,SC2154 # build.sh's variables
#
# What the image carries.
redox_libraries=(safeos-telemetry safeos-record safeos-store safeos-tree safeos-account safeos-session safeos-control safeos-gateway)
redox_programs=(safe safed orbital-login)

redox_target=x86_64-unknown-redox
# Folder of the cargo and rustc to use, and whether they build the standard library themselves.
redox_rust=
redox_std=
# Why there is none.
redox_why=
# A folder with relibc's files: then programs are linked too, optimised, with the host's C compiler.
redox_sysroot=

# A Redox toolchain: its compiler in PATH, and a rustc that has Redox's standard library.
redox_toolchain_here() {
    have "$redox_target-gcc" || return 1
    local sysroot
    sysroot=$(rustc --print sysroot 2>/dev/null) || return 1
    [ -d "$sysroot/lib/rustlib/$redox_target/lib" ] && [ -x "$sysroot/bin/cargo" ] || return 1
    redox_rust=$sysroot/bin
    redox_std=
}

# rustup's nightly, if it has the source of the standard library.
redox_nightly_here() {
    have rustup || return 1
    rustup toolchain list 2>/dev/null | grep -q '^nightly' || return 1
    local sysroot version
    sysroot=$(RUSTUP_AUTO_INSTALL=0 rustup run nightly rustc --print sysroot 2>/dev/null) || return 1
    [ -f "$sysroot/lib/rustlib/src/rust/library/Cargo.lock" ] || return 1
    version=$("$sysroot/bin/rustc" --version 2>/dev/null | awk '{print $2}' | sed 's/-.*//') || return 1
    [ -x "$sysroot/bin/cargo" ] && at_least "$version" "$rust_needed" || return 1
    redox_rust=$sysroot/bin
    redox_std=1
}

# Debian's packages with the standard library's source: the versions must be one and the same.
redox_debian() {
    have apt-get && have dpkg-query || {
        redox_why="this needs Debian's rustc-web, cargo-web and rust-web-src, or rustup's nightly with rust-src (rustup toolchain install nightly --component rust-src)"
        return 1
    }
    local packages=(rustc-web cargo-web rust-web-src libstd-rust-web-dev) name version versions missing=()
    for name in "${packages[@]}"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        # In a shell of its own: without root's rights this is skipped, not the end of everything.
        (apt_update) || true
        version=$(candidate rustc-web)
        if [ -z "$version" ] || ! at_least "$version" "$rust_needed"; then
            redox_why="no rustc-web of Rust $rust_needed or newer is on offer here (it is in Debian's security updates)"
            return 1
        fi
        redox_install "${missing[@]}" || {
            redox_why="these packages cannot be installed beside what is here: ${missing[*]}"
            return 1
        }
    fi
    versions=$(dpkg-query -W -f '${Package} ${Version}\n' "${packages[@]}") || return 1
    if [ "$(awk '{print $2}' <<<"$versions" | sort -u | wc -l)" != 1 ]; then
        redox_why="Debian's Rust packages do not match each other ($(tr '\n' ',' <<<"$versions" | sed 's/,$//; s/,/, /g')): bring them to one version with apt-get install ${packages[*]}"
        return 1
    fi
    version=$(/usr/bin/rustc --version | awk '{print $2}')
    at_least "$version" "$rust_needed" || {
        redox_why="rustc-web is $version, and Rust $rust_needed or newer is needed: update it with apt-get install ${packages[*]}"
        return 1
    }
    redox_rust=/usr/bin
    redox_std=1
}

# redox_install PACKAGE…: beside what is installed. A compiler that is here stays here, and stays the one
# that the other commands find.
redox_install() {
    local cargo
    cargo=$(command -v cargo || true)
    say "installing: $*"
    (as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-remove --no-install-recommends "$@" >&2) || return 1
    hash -r
    if [ -n "$cargo" ] && [ "$(command -v cargo)" != "$cargo" ]; then
        PATH=$(dirname "$cargo"):$PATH
        hash -r
    fi
}

setup_redox() {
    redox_toolchain_here || redox_nightly_here || redox_debian || return 1
    # The C parts of ring and blake3.
    if ! have "$redox_target-gcc"; then
        want clang clang
        want ar binutils
        (install_wanted) || {
            redox_why="clang and ar are needed and cannot be installed"
            return 1
        }
        wanted=()
    fi
}

# redox_cargo COMMAND ARGUMENT…: cargo for the target, and nothing of the caller's own settings for it.
redox_cargo() {
    local command=$1 setting=(RUSTC="$redox_rust/rustc") flags=(--locked --target "$redox_target")
    shift
    if [ -n "$redox_sysroot" ]; then
        flags+=(--target-dir "$CARGO_TARGET_DIR/redox-guest" --release --config 'profile.release.panic="abort"')
        flags+=(--config 'profile.release.debug=false')
    else
        flags+=(--target-dir "$CARGO_TARGET_DIR/redox")
        # Only whether it compiles counts: half the time of an optimised build.
        flags+=(--config 'profile.dev.opt-level=0' --config 'profile.dev.package."*".opt-level=0' --config 'profile.dev.debug=false')
    fi
    if [ -n "$redox_std" ]; then
        setting+=(RUSTC_BOOTSTRAP=1)
        flags+=('-Zbuild-std=std,panic_abort')
    fi
    if [ -n "$redox_sysroot" ]; then
        setting+=("REDOX_SYSROOT=$redox_sysroot" "CC_x86_64_unknown_redox=$root/tests/qemu/cc" AR_x86_64_unknown_redox=ar
            "CARGO_TARGET_X86_64_UNKNOWN_REDOX_LINKER=$root/tests/qemu/cc"
            # A C library made by the same compiler has parts of Rust's own library in it, under the same names.
            CARGO_TARGET_X86_64_UNKNOWN_REDOX_RUSTFLAGS=-Cmetadata=safeos)
    elif have "$redox_target-gcc"; then
        setting+=("CC_x86_64_unknown_redox=$redox_target-gcc" "AR_x86_64_unknown_redox=$redox_target-ar"
            "CARGO_TARGET_X86_64_UNKNOWN_REDOX_LINKER=$redox_target-gcc")
    else
        # No C library's headers are here; these parts need none.
        setting+=(CC_x86_64_unknown_redox=clang AR_x86_64_unknown_redox=ar
            "CFLAGS_x86_64_unknown_redox=-ffreestanding -nostdlibinc -DRING_CORE_NOSTDLIBINC=1")
    fi
    env -u RUSTUP_TOOLCHAIN -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u RUSTC_WRAPPER -u RUSTC_WORKSPACE_WRAPPER \
        -u CARGO_BUILD_TARGET "${setting[@]}" "$redox_rust/cargo" "$command" "${flags[@]}" "$@"
}

# Libraries to object code; programs are type-checked, or linked where a Redox toolchain has the C library.
redox_check() {
    local name libraries=() programs=()
    for name in "${redox_libraries[@]}"; do libraries+=(-p "$name"); done
    for name in "${redox_programs[@]}"; do programs+=(-p "$name"); done
    if have "$redox_target-gcc" && [ -z "$redox_std" ]; then
        redox_cargo build "${libraries[@]}" "${programs[@]}" || return 1
        echo "built for Redox: ${redox_libraries[*]} ${redox_programs[*]}"
        return 0
    fi
    redox_cargo build "${libraries[@]}" || return 1
    redox_cargo check "${programs[@]}" || return 1
    echo "compiled for $redox_target with $("$redox_rust/rustc" --version): ${redox_libraries[*]}"
    echo "type-checked (linking needs a Redox toolchain): ${redox_programs[*]}"
}

# The section of `./build.sh test`.
redox_section() {
    setup_redox || {
        echo "skipped: $redox_why"
        return 0
    }
    redox_check
}

# The command.
redox() {
    [ $# -eq 0 ] || die "\`redox\` takes no arguments"
    want cc gcc libc6-dev
    install_wanted
    setup_redox || die "$redox_why"
    redox_check
}
