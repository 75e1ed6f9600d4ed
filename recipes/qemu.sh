# Sourced by build.sh: `./build.sh qemu`, an image in a window.
# shellcheck disable=SC2154 # build.sh's and image.sh's variables
#
# QEMU is started from here and not by the tree's make: its rules remove the image and make an empty one whenever a
# part of it is newer. So this builds nothing, and what is on the image stays.

# KVM that Redox runs on: with hardware virtualisation under it, and a random source in the processor.
kvm_here() {
    [ -r /dev/kvm ] && [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo && grep -qw rdrand /proc/cpuinfo
}

# The kind of window that this QEMU can open; nothing if it has none.
qemu_window() {
    local kinds kind
    kinds=$("qemu-system-$image_arch" -display help 2>/dev/null || true)
    for kind in gtk sdl cocoa; do
        ! grep -qx "$kind" <<<"$kinds" || { echo "$kind"; return; }
    done
}

qemu() {
    image_arguments qemu "$@"
    local image=$image_file name window arguments
    if [ -z "$image" ]; then
        name=$(newest_image)
        # One that the tree's make made by itself, or an older SafeOS.
        if [ -n "$name" ]; then image=$tree/$image_kept/$name; else image=$tree/$image_build/harddrive.img; fi
    fi
    [ -f "$image" ] || die "there is no image in $tree: make it with ./build.sh image --redox-tree $tree"
    need "qemu-system-$image_arch" "install it (Debian: apt-get install qemu-system-x86 qemu-system-gui)"
    # Redox's random source would start from zero with a processor that has none.
    # shellcheck disable=SC2054 # QEMU's commas
    arguments=(
        -name SafeOS -machine q35 -m 2048
        -drive "file=${image//,/,,},format=raw,if=none,id=disk" -device nvme,drive=disk,serial=safeos
        -netdev user,id=net -device e1000,netdev=net
        -device qemu-xhci -serial "file:${image//,/,,}.log"
    )
    if [ -z "${DISPLAY-}${WAYLAND_DISPLAY-}" ]; then
        say "no display here, so no sign-in screen: only what the system says while it starts, in the serial log"
        arguments+=(-display none -vga none)
    else
        window=$(qemu_window)
        [ -n "$window" ] || die "this QEMU has no windows: install the package that brings them (Debian: apt-get install qemu-system-gui)"
        arguments+=(-display "$window" -vga std)
        say "the boot loader shows a menu of resolutions: press Enter in its window"
    fi
    if kvm_here; then
        arguments+=(-accel kvm -cpu host -smp 2)
    else
        say "no KVM that Redox runs on: emulating, with one processor"
        arguments+=(-accel "tcg,thread=single" -cpu max -smp 1)
    fi
    say "starting $image (nothing is built); serial log: $image.log"
    "qemu-system-$image_arch" "${arguments[@]}"
}
