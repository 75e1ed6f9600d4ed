# Sourced by build.sh: our patches to the tree's own recipes (cookbook-patches/), put in when asked for and taken back.
# shellcheck disable=SC2154 # build.sh's and image.sh's variables
#
# What a patch changes in the tree: a copy of it beside the recipe, its name in the recipe's `patches`, and the source.
# All three are needed. The cookbook puts `patches` on when it fetches a source; it does not when it is offline,
# or when it takes the source that is there for the same as before. The copy is noted like every file of ours (image.sh); the line
# and the change in the source are known by what they are, so that what others change beside them stays.

# Each of cookbook-patches/*.patch says at its head which recipe it is for, and what stands in its first file as long as it is needed.
patch_says() { sed -n "/^--- /q; s/^$2: //p" "$1"; }
patch_files() { sed -n 's|^+++ b/||p' "$1"; }
# Those, as a message names them.
patch_named() { patch_files "$1" | paste -sd, | sed 's/,/, /g'; }
# Its name beside the recipe.
patch_name() { printf 'safeos-%s\n' "$(basename "$1")"; }
patch_recipe() { printf '%s/%s\n' "$tree" "$(patch_says "$1" Recipe)"; }

# patch_apply SOURCE PATCH OPTION…: git's, as if SOURCE were no part of the tree's own repository.
patch_apply() {
    local source=$1 patch
    patch=$(realpath "$2") || return 1
    shift 2
    (cd "$source" && GIT_CEILING_DIRECTORIES=$(dirname "$source") git apply "$@" "$patch") 2>/dev/null
}

# patch_state SOURCE PATCH: in it, fits, needless (the fault is not there), strange.
patch_state() {
    local first
    if patch_apply "$1" "$2" --check --reverse; then
        echo in
    elif patch_apply "$1" "$2" --check; then
        echo fits
    elif first=$1/$(patch_files "$2" | head -n1) && [ -f "$first" ] && ! grep -qF -- "$(patch_says "$2" 'Needed while')" "$first"; then
        echo needless
    else
        echo strange
    fi
}

# The recipe fetches a source that the cookbook can patch.
patch_recipe_takes() {
    awk '
        /^\[/ { source = ($0 == "[source]") }
        source && /^(git|tar) *=/ { found = 1 }
        END { exit !found }
    ' "$1"
}

# recipe_with RECIPE NAME: the recipe with NAME first among its patches.
recipe_with() {
    NAME=$2 awk '
        FNR == 1 { source = 0 }
        /^\[/ { source = ($0 == "[source]") }
        NR == FNR { if (source && /^patches *= *\[/) list = 1; next }
        list && source && !done && /^patches *= *\[/ { sub(/\[/, "[\"" ENVIRON["NAME"] "\", "); done = 1 }
        { print }
        !list && source && !done && /^(git|tar) *=/ { print "patches = [\"" ENVIRON["NAME"] "\"]"; done = 1 }
    ' "$1" "$1"
}

# recipe_without RECIPE NAME: the recipe as it was.
recipe_without() {
    NAME=$2 awk '
        BEGIN { quoted = "\"" ENVIRON["NAME"] "\""; beside = quoted ", " }
        $0 == "patches = [" quoted "]" { next }
        { at = index($0, beside); if (at) $0 = substr($0, 1, at - 1) substr($0, at + length(beside)); print }
    ' "$1"
}

# rewrite FILE COMMAND…: with what the command prints, if that is something else.
rewrite() {
    local file=$1 text
    shift
    # The last newlines are kept.
    text=$("$@" && printf .) || return 1
    cmp -s "$file" - < <(printf %s "${text%.}") || printf %s "${text%.}" >"$file"
}

# Stops where a patch does not fit, before anything is changed. Fetches a source that is not there yet: only then is known
# whether it needs the patch. $patches_needed are those to put in.
patches_needed=()
patches_fit() {
    local patch recipe source state
    patches_needed=()
    for patch in cookbook-patches/*.patch; do
        recipe=$(patch_recipe "$patch")
        source=$recipe/source
        [ -f "$recipe/recipe.toml" ] || die "the tree has no $(patch_says "$patch" Recipe)/recipe.toml, for which $patch is"
        patch_recipe_takes "$recipe/recipe.toml" \
            || die "$(patch_says "$patch" Recipe)/recipe.toml fetches no source (git or tar) that $patch could be put on"
        [ -d "$source" ] || patch_fetch "$patch"
        if [ -f "$recipe/$(patch_name "$patch")" ]; then state=$(patch_state_renewed "$patch"); else state=$(patch_state "$source" "$patch"); fi
        case $state in
            in | fits) patches_needed+=("$patch") ;;
            needless) say "$(patch_says "$patch" Recipe): the source there does not need $patch; it is not put in" ;;
            *) die "$patch does not fit $(patch_says "$patch" Recipe)/source ($(patch_named "$patch")): it is for $(patch_says "$patch" Fits); nothing was changed" ;;
        esac
    done
}

# The state of a patch once the one that was put in before is out, which may be an older one: found in a copy of its files.
patch_state_renewed() {
    local recipe copy file
    recipe=$(patch_recipe "$1")
    copy=$(mktemp -d)
    for file in $(patch_files "$1") $(patch_files "$recipe/$(patch_name "$1")"); do
        [ -f "$recipe/source/$file" ] || { rm -rf "$copy"; echo strange; return; }
        mkdir -p "$copy/$(dirname "$file")"
        cp "$recipe/source/$file" "$copy/$file"
    done
    patch_apply "$copy" "$recipe/$(patch_name "$1")" --reverse || true
    patch_state "$copy" "$1"
    rm -rf "$copy"
}

patch_fetch() {
    local recipe log
    recipe=$(patch_says "$1" Recipe)
    [ "$(tree_setting REPO_OFFLINE 0)" != 1 ] \
        || die "REPO_OFFLINE=1, but $recipe has no source yet that $1 could be put on: run this once with the network"
    say "fetching the source of $recipe, to see whether $1 fits"
    log=$(mktemp)
    # As the tree's own desktop: ours is not in the tree yet. From source also where packages are taken ready-made.
    if ! CI=1 tree_make CONFIG_NAME=desktop REPO_BINARY=0 "f.$(basename "$recipe")" 2>&1 | tee "$log"; then
        tree_failed "$log" "the source of $recipe cannot be fetched (above); nothing was changed"
    fi
    rm -f "$log"
    [ -d "$tree/$recipe/source" ] || die "the tree's make fetched no $recipe/source, so whether $1 fits cannot be told; nothing was changed"
}

# The copies beside recipes, as noted.
patches_noted() { [ ! -f "$tree/$image_note" ] || awk '{ print $2 }' "$tree/$image_note" | grep -E '/safeos-[^/]*\.patch$' | sort -u || true; }

# Those of before that are not meant now.
patches_take_back() {
    local copy patch meant=
    for patch in "${patches_needed[@]}"; do meant+="$(patch_says "$patch" Recipe)/$(patch_name "$patch") "; done
    for copy in $(patches_noted); do
        [[ " $meant" == *" $copy "* ]] || patch_take_out "$copy"
    done
}

# patch_take_out COPY: what stands in the tree of it. The line first: it names the copy.
patch_take_out() {
    local copy=$tree/$1 recipe name
    recipe=$(dirname "$1")
    name=$(basename "$1")
    if [ -f "$tree/$recipe/recipe.toml" ] && grep -qF "\"$name\"" "$tree/$recipe/recipe.toml"; then
        rewrite "$tree/$recipe/recipe.toml" recipe_without "$tree/$recipe/recipe.toml" "$name"
        say "taken back: $recipe/recipe.toml no longer names $name"
    fi
    [ -f "$copy" ] || return 0
    if [ -d "$tree/$recipe/source" ]; then
        case $(patch_state "$tree/$recipe/source" "$copy") in
            in)
                patch_apply "$tree/$recipe/source" "$copy" --reverse
                say "taken back: $recipe/source is as it was fetched ($(patch_named "$copy"))"
                ;;
            strange) say "left as it is: $recipe/source ($(patch_named "$copy")), which was changed since (make u.$(basename "$recipe") fetches it anew)" ;;
        esac
    fi
    rm -f "$copy"
}

# The copies that go beside recipes, into FOLDER as into the tree.
patches_stage() {
    local patch to
    for patch in "${patches_needed[@]}"; do
        to=$1/$(patch_says "$patch" Recipe)
        mkdir -p "$to"
        cp "$patch" "$to/$(patch_name "$patch")"
    done
}

# After the copies were put beside the recipes.
patches_put() {
    local patch recipe name
    for patch in "${patches_needed[@]}"; do
        recipe=$(patch_recipe "$patch")
        name=$(patch_name "$patch")
        if [ "$(patch_state "$recipe/source" "$patch")" = fits ]; then
            patch_apply "$recipe/source" "$patch" || die "$patch cannot be put on $recipe/source"
            say "patched: $(patch_says "$patch" Recipe)/source ($(patch_named "$patch")): $(sed -n 1p "$patch") ($patch)"
        fi
        if ! grep -qF "\"$name\"" "$recipe/recipe.toml"; then
            rewrite "$recipe/recipe.toml" recipe_with "$recipe/recipe.toml" "$name"
            say "changed: $(patch_says "$patch" Recipe)/recipe.toml names $name among its patches"
        fi
    done
}

# The older ones of ours, before newer copies are put in their place.
patches_renew() {
    local patch recipe name
    for patch in "${patches_needed[@]}"; do
        recipe=$(patch_recipe "$patch")
        name=$(patch_name "$patch")
        if [ -f "$recipe/$name" ] && ! cmp -s "$patch" "$recipe/$name"; then
            patch_apply "$recipe/source" "$recipe/$name" --reverse || true
        fi
    done
}

# After a build that failed: whether that was because it fetched a source that one of them does not fit.
patches_outdated() {
    local patch
    for patch in "${patches_needed[@]}"; do
        [ "$(patch_state "$(patch_recipe "$patch")/source" "$patch")" = in ] \
            || printf ' The build fetched another source of %s, and %s is not in it: run this again, and whether it fits is judged anew.' \
                "$(patch_says "$patch" Recipe)" "$patch"
    done
}
