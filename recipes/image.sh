# Sourced by build.sh: SafeOS in a checkout of Redox's build system, and the image that it makes.
# shellcheck disable=SC2034,SC2154 # build.sh's variables
#
# What always holds here: only recipes/safeos and the configuration safeos.toml are ours in the tree, and patches of its
# recipes if they were asked for (patches.sh). What is
# put there is noted in recipes/safeos/.safeos first, with its checksum; what is not noted, or was changed since,
# is somebody else's and is neither overwritten nor removed. An image that was made is moved to a folder that no rule
# of the tree's make touches, under a name of its own: homes may live on it, so nothing here removes one.

image_arch=x86_64
image_name=safeos
image_place=recipes/safeos
image_note=$image_place/.safeos
# What the tree's make builds, and where images are kept.
image_build=build/$image_arch/$image_name
image_kept=build/$image_arch/$image_name-images
# The first day of trees that fit; written down in one place only.
image_since=$(sed -n 's/^tree-since //p' recipes/README.md)

tree=
image_remove=
image_any=
# Whether the image asks for a login on its consoles.
image_console=
# Whether our patches go into the tree's own recipes.
image_patches=
# The image to start, where it is not the newest.
image_file=
# Of the tree: where its desktop configuration is, and where ours goes.
image_config=

image_arguments() {
    local command=$1
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --redox-tree)
                [ $# -ge 2 ] || die "--redox-tree needs the folder of the Redox build system"
                tree=$2
                shift
                ;;
            --redox-tree=*) tree=${1#*=} ;;
            --remove) [ "$command" = image ] || die "\`$command\` has no --remove"; image_remove=1 ;;
            --any-revision) [ "$command" = image ] || die "\`$command\` has no --any-revision"; image_any=1 ;;
            --console) [ "$command" = image ] || die "\`$command\` has no --console"; image_console=1 ;;
            --patches) [ "$command" = image ] || die "\`$command\` has no --patches"; image_patches=1 ;;
            --image)
                [ "$command" = qemu ] || die "\`$command\` has no --image"
                [ $# -ge 2 ] || die "--image needs the file to start"
                image_file=$(cd "$called_from" && realpath -e -- "$2" 2>/dev/null) || die "there is no image $2"
                shift
                ;;
            *) die "\`$command\` does not know '$1'; it takes --redox-tree DIR (./build.sh help)" ;;
        esac
        shift
    done
    [ -n "$tree" ] || die "which Redox tree? ./build.sh $command --redox-tree DIR, a checkout of the Redox build system"
    local folder
    folder=$(cd "$called_from" && cd "$tree" 2>/dev/null && pwd -P) \
        || die "there is no folder $tree: name a checkout of the Redox build system with --redox-tree"
    tree=$folder
    local file
    for file in Makefile mk/config.mk config/base.toml recipes; do
        [ -e "$tree/$file" ] || die "$tree is no checkout of the Redox build system: it has no $file"
    done
    # The one that the tree's own make would take.
    if [ -f "$tree/config/$image_arch/desktop.toml" ]; then
        image_config=config/$image_arch/$image_name.toml
    elif [ -f "$tree/config/desktop.toml" ]; then
        image_config=config/$image_name.toml
    else
        die "$tree has no desktop configuration (config/desktop.toml): SafeOS's is made on top of it"
    fi
}

need() { have "$1" || die "$1 is missing: $2"; }

# ---- whether the tree will do -----------------------------------------------------------------

# The recipes whose interfaces must fit each other and ours. They follow branches: what they are is in their sources, where
# those are there, and not in the day of the tree.
core_recipes=(kernel base relibc)
core_source() { printf '%s\n' "$tree/recipes/core/$1/source"; }

# The newest redox_syscall in the lock file of one of them; nothing if that is not there.
core_syscall() {
    local lock
    lock=$(core_source "$1")/Cargo.lock
    [ ! -f "$lock" ] || awk '$0 == "name = \"redox_syscall\"" { getline; gsub(/[^0-9.]/, ""); print }' "$lock" | sort -V | tail -n1
}

# Since redox_syscall 0.9 (July 2026) programs number their file descriptors themselves: kernel and base know it both, or neither.
descriptors_by() { if at_least "$1" 0.9.0; then echo programs; else echo "the kernel"; fi; }

# Stops where the sources that are there do not fit each other; succeeds if all of them are there.
image_sources() {
    local name kernel base all=0
    kernel=$(core_syscall kernel)
    base=$(core_syscall base)
    if [ -n "$kernel" ] && [ -n "$base" ] && [ "$(descriptors_by "$kernel")" != "$(descriptors_by "$base")" ]; then
        die "the kernel and base of $tree do not fit each other: with redox_syscall $kernel (recipes/core/kernel/source/Cargo.lock) file descriptors are numbered by $(descriptors_by "$kernel"), with $base (recipes/core/base/source/Cargo.lock) by $(descriptors_by "$base"). Fetch both of one time (make -C $tree ucf.kernel,base); --any-revision tries it all the same"
    fi
    if [ -n "$(core_syscall relibc)" ] && ! grep -rqsF redox_fcntl_v0 --include='*.rs' "$(core_source relibc)"; then
        die "the C library of $tree is too old: recipes/core/relibc/source has no redox_fcntl_v0, and SafeOS's programs cannot be linked without it. Fetch a newer one (make -C $tree ucf.relibc); --any-revision tries it all the same"
    fi
    for name in "${core_recipes[@]}"; do [ -n "$(core_syscall "$name")" ] || all=1; done
    return "$all"
}

image_revision() {
    [ -z "$image_any" ] || return 0
    if image_sources; then
        say "the tree is judged by its sources: redox_syscall $(core_syscall kernel) in the kernel, $(core_syscall base) in base, $(core_syscall relibc) in relibc"
        return 0
    fi
    local what="trees from $image_since on fit (recipes/README.md); --any-revision tries it all the same"
    local top day
    top=$(git -C "$tree" rev-parse --show-toplevel 2>/dev/null || true)
    [ "$top" = "$tree" ] || die "the revision of $tree cannot be told, since it is not a git checkout; $what"
    day=$(TZ=UTC git -C "$tree" log -1 --date=format-local:%Y-%m-%d --format=%cd 2>/dev/null || true)
    [ -n "$day" ] || die "the revision of $tree cannot be told, since it has no commit; $what"
    if [[ $day < $image_since ]]; then
        die "the Redox tree is of $day ($(git -C "$tree" rev-parse --short HEAD)): $what"
    fi
}

# A setting of the tree's make: from the environment, else its .config, else the default here.
tree_setting() {
    local value=${!1-}
    [ -n "$value" ] || value=$(sed -n "s/^[[:space:]]*$1[[:space:]]*[?:]*=[[:space:]]*\([^#[:space:]]*\).*/\1/p" "$tree/.config" 2>/dev/null | tail -n1)
    printf '%s\n' "${value:-$2}"
}

image_tools() {
    need make "install it (Debian: apt-get install make)"
    if [ "$(tree_setting PODMAN_BUILD 1)" = 1 ]; then
        need podman "the tree builds in a container; install it, or set PODMAN_BUILD=0 for a build on this system"
    else
        local tool
        for tool in rustup cbindgen nasm just; do
            need "$tool" "the tree's build on this system (PODMAN_BUILD=0) needs it; native_bootstrap.sh in the tree installs such tools"
        done
    fi
    if [ "$(tree_setting REPO_OFFLINE 0)" = 1 ] && [ ! -d "$tree/prefix/$image_arch-unknown-redox/sysroot" ]; then
        die "REPO_OFFLINE=1, but the tree has no compiler for Redox yet: run this once with the network, and without REPO_OFFLINE=1 (in the environment or $tree/.config)"
    fi
}

# ---- what is put in ---------------------------------------------------------------------------

# The names of our recipes.
image_recipes() {
    local folder
    for folder in recipes/*/; do
        folder=$(basename "$folder")
        [ -f "recipes/$folder/recipe.toml" ] || continue
        printf '%s\n' "$folder"
    done
}

# The tree's list of what each kind of user may open, with `safe` added for users.
login_schemes() {
    awk '
        /^path = / { ours = ($0 == "path = \"/etc/login_schemes.toml\"") }
        data && /^"""/ { data = 0; exit }
        data { print }
        ours && /^data = """/ { data = 1; ours = 0 }
    ' "$tree/config/base.toml" | awk '
        { print }
        /^\[user_schemes\.user\]/ { user = 1 }
        user && /^schemes = \[$/ { print "  # SafeOS"; print "  \"safe\","; user = 0; done = 1 }
        END { exit !done }
    '
}

# configuration SCHEMES: safeos.toml with what this tree and this image need.
configuration() {
    local password patch patched='' mark
    password=$(image_password) || return 1
    # What we patched is built here, also where packages are taken ready-made.
    for patch in "${patches_needed[@]}"; do patched+="$(basename "$(patch_says "$patch" Recipe)") = \"source\""$'\n'; done
    mark=$(printf '%s\n' '# The sign-in screen says so where this file is.' '[[files]]' 'path = "/etc/safeos/console"' 'data = ""')
    SCHEMES=$1 PASSWORD=$password CONSOLE=$image_console PATCHED=$patched MARK=$mark awk '
        $0 == "@LOGIN_SCHEMES@" { print ENVIRON["SCHEMES"]; next }
        $0 == "@PATCHED@" { printf "%s", ENVIRON["PATCHED"]; next }
        $0 == "@CONSOLE_MARK@" { if (ENVIRON["CONSOLE"]) print ENVIRON["MARK"]; next }
        $0 == "@CONSOLES@" {
            if (ENVIRON["CONSOLE"]) print "nowait getty 2\nnowait getty /scheme/debug/no-preserve -J"
            next
        }
        $0 == "@ISSUE@" {
            if (ENVIRON["CONSOLE"]) print "SafeOS, with consoles for developers: whoever knows the password of root gets in here."
            next
        }
        { gsub(/@PASSWORD@/, ENVIRON["PASSWORD"]); print }
    ' recipes/safeos.toml
}

# The password of the image's own users: the tree's public one would let everybody in. The installer takes nothing but
# a password, so it is a random one; it stays the same in a tree, since another one would be another configuration.
image_password() {
    local password
    password=$(sed -n '/^\[users\.root\]/,/^$/s/^password = "\([0-9a-f]\{64\}\)"$/\1/p' "$tree/$image_config" 2>/dev/null)
    [ -n "$password" ] || password=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    [ ${#password} -eq 64 ] || return 1
    printf '%s\n' "$password"
}

# stage FOLDER: everything that goes into the tree, as it will stand there, without the crates.
stage() {
    local to=$1 name members schemes
    mkdir -p "$to/$(dirname "$image_config")"
    for name in $(image_recipes); do
        mkdir -p "$to/$image_place/$name"
        cp "recipes/$name/recipe.toml" "$to/$image_place/$name/"
    done
    schemes=$(login_schemes) || die "$tree/config/base.toml has no login schemes in the form known here: SafeOS's users could not open safe:"
    configuration "$schemes" >"$to/$image_config"
    patches_stage "$to"
    # The workspace without its tests, whose crates nobody needs here.
    local source=$to/$image_place/safed/source folders=(crates schemes cli gateway orbital-login)
    members='"crates/*", "schemes/safed", "cli", "gateway", "orbital-login"'
    mkdir "$source"
    tar -cf - --exclude=target --exclude=orbital-login/tests Cargo.lock LICENSE-APACHE LICENSE-MIT "${folders[@]}" | tar -xf - -C "$source"
    sed -e "s|^members = .*|members = [$members]|" -e '/^exclude = /d' Cargo.toml >"$source/Cargo.toml"
    # Takes out of the lock file what only the tests needed; what stays keeps its version.
    (cd "$source" && cargo metadata --format-version 1 >/dev/null) \
        || die "cargo cannot read SafeOS's crates (above); without the network it needs to have fetched them once"
}

# vendor FOLDER: the crates of the lock file, unless they are there.
vendor() {
    local source=$1 there=$tree/$image_place/safed/source
    if [ -f "$there/vendor/.complete" ] && cmp -s "$source/Cargo.lock" "$there/vendor/.complete"; then
        return 0
    fi
    say "vendoring the crates"
    (cd "$source" && cargo vendor --locked --quiet --versioned-dirs vendor >/dev/null) \
        || die "the crates cannot be fetched (above): this needs the network once"
    cp "$source/Cargo.lock" "$source/vendor/.complete"
}

# ---- putting in and taking out ----------------------------------------------------------------

sum() { sha256sum "$1" | awk '{print $1}'; }

# noted FILE: the checksums it may have: of what was put there, and of what an interrupted run was to put there.
noted() { [ -f "$tree/$image_note" ] && awk -v file="$1" '$2 == file { print $1; found = 1 } END { exit !found }' "$tree/$image_note"; }

# Everything of ours in the tree still is: nothing there was made or changed by somebody else.
image_ours() {
    local file other
    if [ -e "$tree/$image_place" ] || [ -L "$tree/$image_place" ]; then
        [ -f "$tree/$image_note" ] && [ ! -L "$tree/$image_place" ] \
            || die "$tree/$image_place is there and not SafeOS's: move it away first"
    fi
    if [ -e "$tree/$image_config" ] || [ -L "$tree/$image_config" ]; then
        noted "$image_config" >/dev/null || die "$tree/$image_config is there and not SafeOS's: move it away first"
    fi
    [ -f "$tree/$image_note" ] || return 0
    while read -r _ file; do
        # Missing: taken away by somebody, which is fine.
        [ -e "$tree/$file" ] || [ -L "$tree/$file" ] || continue
        [ -f "$tree/$file" ] && [ ! -L "$tree/$file" ] && noted "$file" | grep -qxF "$(sum "$tree/$file")" \
            || die "$tree/$file was changed since SafeOS put it there: keep your version elsewhere and delete this one, then try again"
    done <"$tree/$image_note"
    # What the cookbook makes there (sources, targets) is of our recipes; the rest must be noted.
    while IFS= read -r -d '' file; do
        other=${file#"$tree/"}
        [ "$other" = "$image_note" ] || noted "$other" >/dev/null \
            || die "$file is not SafeOS's: move it away first"
    done < <(find "$tree/$image_place" -mindepth 1 \( -path "$tree/$image_place/*/source" -o -path "$tree/$image_place/*/target" \) -prune -o ! -type d -print0)
}

# No recipe of the tree's own has one of our names.
image_names_free() {
    local name found
    for name in $(image_recipes); do
        found=$(find "$tree/recipes" \( -path "$tree/$image_place" -o -name source -o -name target \) -prune -o -path "*/$name/recipe.toml" -print | head -n1)
        [ -z "$found" ] || die "the tree has a recipe '$name' of its own (${found#"$tree/"}): SafeOS's cannot stand beside it"
    done
}

# put_changed FROM TO: makes TO like FROM, but for the crates, and writes only the files that differ.
put_changed() {
    local from=$1 to=$2 file
    # What is gone, or is of another kind now.
    while IFS= read -r -d '' file; do
        if [ -d "$to/$file" ] && [ ! -L "$to/$file" ]; then
            [ -d "$from/$file" ] || rm -rf "${to:?}/$file"
        else
            [ -f "$from/$file" ] && [ ! -L "$to/$file" ] || rm -f "$to/$file"
        fi
    done < <(cd "$to" && find . -mindepth 1 \( -path './vendor*' -prune \) -o -printf '%P\0')
    while IFS= read -r -d '' file; do
        if [ -d "$from/$file" ]; then
            mkdir -p "$to/$file"
        elif ! cmp -s "$from/$file" "$to/$file"; then
            cp "$from/$file" "$to/$file"
        fi
    done < <(cd "$from" && find . -mindepth 1 \( -path './vendor*' -prune \) -o -printf '%P\0')
}

image_put() {
    image_ours
    image_names_free
    setup_rust
    local stage source file there=$tree/$image_place/safed/source
    stage=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$stage'" EXIT
    stage "$stage"
    source=$stage/$image_place/safed/source
    vendor "$source"
    # Only now: the crates come from a registry until here. Found by cargo from any build folder of our recipes.
    mkdir "$stage/$image_place/.cargo"
    cat >"$stage/$image_place/.cargo/config.toml" <<'TEXT'
# The crates that SafeOS's ./build.sh image put beside the source: no registry is asked.
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "safed/source/vendor"
TEXT

    patches_take_back
    patches_renew
    # First the note, so that whatever is interrupted can be taken out again.
    mkdir -p "$tree/$image_place"
    local note both old
    note=$(cd "$stage" && find . -path './*/source' -prune -o -type f -print | sed 's|^\./||' | LC_ALL=C sort | while IFS= read -r file; do
        printf '%s %s\n' "$(sum "$file")" "$file"
    done)
    if [ -f "$tree/$image_note" ]; then
        both=$(cat "$tree/$image_note" - <<<"$note")
        cmp -s "$tree/$image_note" - <<<"$note" || printf '%s\n' "$both" >"$tree/$image_note"
        # Those of an earlier SafeOS that are no more.
        while read -r _ old; do
            awk '{print $2}' <<<"$note" | grep -qxF "$old" || rm -f "$tree/$old"
        done <<<"$both"
    else
        printf '%s\n' "$note" >"$tree/$image_note"
    fi
    while read -r _ file; do
        cmp -s "$stage/$file" "$tree/$file" && continue
        mkdir -p "$(dirname "$tree/$file")"
        # The configuration has a password in it.
        (umask 077 && cp "$stage/$file" "$tree/$file")
        [ "$file" = "$image_config" ] || chmod a+r "$tree/$file"
        say "put there: $file"
    done <<<"$note"
    patches_put
    cmp -s "$tree/$image_note" - <<<"$note" || printf '%s\n' "$note" >"$tree/$image_note"
    # Files keep their times as long as nothing changed, so that the cookbook builds only what did.
    if ! diff -rq --exclude='vendor*' "$source" "$there" >/dev/null 2>&1; then
        mkdir -p "$there"
        put_changed "$source" "$there"
        say "put there: ${there#"$tree/"}"
    fi
    if [ -d "$source/vendor" ]; then
        rm -rf "$there/vendor"
        rm -rf "$there/vendor.new"
        mv "$source/vendor" "$there/vendor.new"
        mv "$there/vendor.new" "$there/vendor"
        say "put there: ${there#"$tree/"}/vendor"
    fi
}

image_take_out() {
    [ -f "$tree/$image_note" ] || {
        image_ours
        say "nothing of SafeOS's is in $tree"
        return 0
    }
    image_ours
    local file
    patches_take_back
    # Ours outside our folder; the folder last, with the note in it.
    while read -r _ file; do
        case $file in
            "$image_place"/*) ;;
            *) rm -f "$tree/$file" ;;
        esac
    done <"$tree/$image_note"
    image_packages_out
    rm -rf "${tree:?}/$image_place"
    say "taken out of $tree: $image_place and $image_config"
    if [ -n "$(newest_image)" ]; then
        say "left, since your data may be on them: the images in $image_kept (./build.sh qemu --redox-tree $tree starts the newest)"
    fi
    if [ -d "$tree/$image_build" ]; then
        say "left: what the tree's make built besides, in $image_build (make clean)"
    fi
}

# The packages that the cookbook made of our recipes, in its local repository, and their lines in its list.
image_packages_out() {
    local folder=$tree/repo/$image_arch-unknown-redox name list
    [ -d "$folder" ] || return 0
    list=$folder/repo.toml
    for name in $(image_recipes); do
        rm -f "$folder/$name.pkgar" "$folder/$name.toml"
    done
    [ ! -f "$list" ] || rewrite "$list" packages_without "$list" "$(image_recipes)"
}

# packages_without LIST NAMES: the list without what it says of these: a line among the packages, a table if one failed.
packages_without() {
    NAMES=$2 awk '
        BEGIN { split(ENVIRON["NAMES"], names, "\n"); for (i in names) ours[names[i]] = 1 }
        /^\[/ { table = $0; gsub(/^\[outdated_packages\.|["\]]/, "", table); skip = /^\[outdated_packages\./ && table in ours }
        skip { next }
        /^$/ { empty++; next }
        { name = $1; gsub(/"/, "", name); if ($2 == "=" && name in ours) next }
        { for (; empty; empty--) print ""; print }
    ' "$1"
}

# ---- images -----------------------------------------------------------------------------------

# The newest of the images that are kept; nothing if there is none.
newest_image() {
    [ -d "$tree/$image_kept" ] || return 0
    find "$tree/$image_kept" -maxdepth 1 -name "$image_name-*.img" -type f -printf '%f\n' | LC_ALL=C sort -V | tail -n1
}

# keep_image FILE: moves an image to those that are kept, named by the day it was made and a number; prints where it is.
keep_image() {
    local day number=1 name
    day=$(date -u -r "$1" +%Y-%m-%d) || return 1
    mkdir -p "$tree/$image_kept" || return 1
    # `ln` makes no name twice, also beside another run.
    while name=$tree/$image_kept/$image_name-$day-$number.img && ! ln "$1" "$name" 2>/dev/null; do
        [ -e "$name" ] || { say "$1 cannot be moved to $tree/$image_kept"; return 1; }
        number=$((number + 1))
    done
    rm -f "$1" && printf '%s\n' "$name"
}

# ---- commands ---------------------------------------------------------------------------------

# tree_make ARGUMENT…: the tree's make, with nothing of our own build in its environment.
tree_make() {
    env -u CARGO_TARGET_DIR -u RUSTUP_TOOLCHAIN -u RUSTFLAGS -u RUSTC_BOOTSTRAP -u MAKEFLAGS -u MAKELEVEL \
        make -C "$tree" "ARCH=$image_arch" "CONFIG_NAME=$image_name" "$@"
}

# What programs say that found no network: git and curl, wget, podman, cargo; and the cookbook, when it was told that there is none.
no_network='could not resolve|unable to resolve host|name resolution|name or service not known|no such host|network is unreachable|failed to (connect|download)|unable to access .?http|connection (refused|timed out)|i/o timeout|unable to continue in offline mode'

# tree_failed LOG TEXT: ends with what went wrong: no network, if the log says so, else TEXT.
tree_failed() {
    local text=$2
    if grep -qiE "$no_network" "$1"; then
        text="the tree's make wanted the network and there is none. With it, run this again; after one run REPO_OFFLINE=1 builds without it. $(images_left)"
        [ "$(tree_setting REPO_OFFLINE 0)" != 1 ] \
            || text="the tree's make needs something that was never fetched (above), and REPO_OFFLINE=1 forbids to: run this once with the network, and without REPO_OFFLINE=1 (in the environment or $tree/.config). $(images_left)"
    fi
    rm -f "$1"
    die "$text"
}

image() {
    image_arguments image "$@"
    if [ -n "$image_remove" ]; then
        image_take_out
        return 0
    fi
    need git "install it (Debian: apt-get install git)"
    image_revision
    image_tools
    image_ours
    [ -z "$image_patches" ] || patches_fit
    image_put
    local disk=$tree/$image_build/harddrive.img log old made=
    # Made by the tree's make without us, or by an older SafeOS: make would remove it. The old one first, by its age.
    for old in "$disk.old" "$disk"; do
        [ -f "$old" ] || continue
        made=$(keep_image "$old") || die "the image $old is not kept, so nothing is built"
        say "the image of before is kept: $made"
    done
    log=$(mktemp)
    # Not in a terminal of its own (CI=1), so that what goes wrong can be read here.
    CI=1 tree_make rebuild 2>&1 | tee "$log" \
        || tree_failed "$log" "the tree's make failed (above); SafeOS stays in the tree (--remove takes it out).$(patches_outdated) $(images_left)"
    rm -f "$log"
    [ -f "$disk" ] || die "the tree's make ended well but made no $disk. $(images_left)"
    made=$(keep_image "$disk") || die "the image is at $disk; move it elsewhere, the tree's make removes it there"
    say "the image: $made"
    [ -z "$image_console" ] || say "it has consoles; the password of root is in $tree/$image_config"
    say "start it:  ./build.sh qemu --redox-tree $tree"
}

images_left() {
    local newest
    newest=$(newest_image)
    if [ -n "$newest" ]; then echo "The images of before are there: $image_kept/$newest is the newest"; else echo "No image was there before"; fi
}
