# Sourced by build.sh: `./build.sh qemu-test`, the tests that run inside of a Redox.
# shellcheck disable=SC2034,SC2154 # build.sh's variables
#
# The programs are linked with the host's compiler against relibc's files, so a Redox toolchain is not needed.

guest_programs=(safed safe safe-guest orbital-login)

# Where the image and relibc's files are.
guest_image=
guest_sysroot=
guest_firmware=
# An Orbital to use instead of the image's.
guest_orbital=
# Names of tests, with commas between them, where not all are wanted.
guest_only=
# Where this computer's own safe, safed and safeos-qemu-tests are; built if nothing is said.
guest_host=

# guest_places ARGUMENT…: takes the command's arguments.
guest_places() {
    local tree=
    while [ $# -gt 0 ]; do
        case $1 in
            --image | --sysroot | --firmware | --orbital | --only | --redox-tree)
                [ $# -ge 2 ] || die "$1 wants a path after it"
                case $1 in
                    --image) guest_image=$(absolute "$2") ;;
                    --sysroot) guest_sysroot=$(absolute "$2") ;;
                    --orbital) guest_orbital=$(absolute "$2") ;;
                    --firmware) guest_firmware=$(absolute "$2") ;;
                    --only) guest_only=$2 ;;
                    --redox-tree) tree=$(absolute "$2") ;;
                esac
                shift 2
                ;;
            *) die "\`qemu-test\` does not know $1; it takes --redox-tree DIR, or --image FILE and --sysroot DIR" ;;
        esac
    done
    [ -z "$tree" ] || guest_tree "$tree"
}

# What a checkout of Redox's build system has built: any of its images will do, SafeOS is put into a copy.
guest_tree() {
    local name
    [ -d "$1" ] || die "there is no folder $1"
    guest_sysroot=$1/prefix/$redox_target/sysroot/$redox_target
    [ -f "$guest_sysroot/lib/libc.a" ] || die "$1 has built no C library yet (no $guest_sysroot/lib/libc.a): run its make first, or ./build.sh image --redox-tree $1"
    name=$(tree=$1 newest_image)
    if [ -n "$name" ]; then
        guest_image=$1/$image_kept/$name
        return 0
    fi
    for name in safeos desktop desktop-minimal server minimal; do
        guest_image=$1/build/x86_64/$name/harddrive.img
        [ ! -f "$guest_image" ] || return 0
    done
    die "$1 has no image yet: ./build.sh image --redox-tree $1"
}

# absolute PATH: as named from where build.sh was called.
absolute() {
    case $1 in
        /*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$called_from/$1" ;;
    esac
}

# What is missing to run them, in words; nothing if nothing is.
guest_missing() {
    local name
    if [ -z "$guest_image$guest_sysroot" ]; then
        echo "no Redox"
        return
    fi
    [ -n "$guest_image" ] && [ -n "$guest_sysroot" ] || {
        echo "--image and --sysroot go together"
        return
    }
    [ -f "$guest_image" ] || echo "there is no image $guest_image"
    for name in crt0.o crti.o crtn.o libc.a; do
        [ -f "$guest_sysroot/lib/$name" ] || echo "$guest_sysroot/lib has no $name"
    done
    [ -f "$guest_sysroot/include/stdlib.h" ] || echo "$guest_sysroot/include has no stdlib.h"
}

# The programs, compiled and linked for Redox, in folder $1.
guest_build() {
    local name packages=()
    for name in "${guest_programs[@]}"; do packages+=(--bin "$name"); done
    redox_sysroot=$guest_sysroot
    redox_cargo build -p safed -p safe -p orbital-login -p safeos-guest-tests "${packages[@]}" || return 1
    mkdir -p "$1"
    for name in "${guest_programs[@]}"; do
        strip -o "$1/$name" "$CARGO_TARGET_DIR/redox-guest/$redox_target/release/$name" || return 1
    done
}

# Builds the programs and runs the tests, or says what is missing.
guest_test() {
    local work status
    want qemu-system-x86_64 qemu-system-x86
    want strip binutils
    install_wanted
    setup_redox || die "$redox_why"
    work=$(mktemp -d "${TMPDIR:-/tmp}/safeos-qemu-XXXXXX") || return 1
    guest_build "$work/programs" || {
        rm -rf "$work"
        die "the programs for Redox could not be built (above)"
    }
    [ -z "$guest_orbital" ] || cp "$guest_orbital" "$work/programs/orbital" || return 1
    if [ -z "$guest_host" ]; then
        cargo build --release --locked -p safeos-qemu-tests -p safe -p safed || return 1
        guest_host=$CARGO_TARGET_DIR/release
    fi
    "$guest_host/safeos-qemu-tests" --image "$guest_image" --programs "$work/programs" --work "$work" \
        --host-programs "$guest_host" --pictures "$CARGO_TARGET_DIR/qemu-test" \
        ${guest_firmware:+--firmware "$guest_firmware"} ${guest_only:+--only "$guest_only"}
    status=$?
    if [ $status -eq 0 ]; then rm -rf "$work"; else say "what is left to look at: $work"; fi
    return $status
}

# The command.
qemu_test() {
    guest_places "$@"
    local missing
    missing=$(guest_missing)
    if [ "$missing" = "no Redox" ]; then
        guest_skipped
        return 0
    fi
    [ -z "$missing" ] || die "$(head -n1 <<<"$missing")"
    setup_basics
    guest_test
}

guest_skipped() {
    echo "test guest ... ignored, skipped: no Redox (give --redox-tree DIR, or --image FILE and --sysroot DIR)"
    printf '\ntest result: ok. 0 passed; 0 failed; 1 ignored\n'
}

# The section of `./build.sh test`: SAFEOS_REDOX_IMAGE and SAFEOS_REDOX_SYSROOT, or SAFEOS_REDOX_TREE, name a Redox.
guest_section() {
    local arguments=()
    [ -z "${SAFEOS_REDOX_TREE-}" ] || arguments+=(--redox-tree "$SAFEOS_REDOX_TREE")
    [ -z "${SAFEOS_REDOX_IMAGE-}" ] || arguments+=(--image "$SAFEOS_REDOX_IMAGE")
    [ -z "${SAFEOS_REDOX_SYSROOT-}" ] || arguments+=(--sysroot "$SAFEOS_REDOX_SYSROOT")
    # Built for the tests before.
    guest_host=$CARGO_TARGET_DIR/debug
    (qemu_test "${arguments[@]}") 2>&1
}
