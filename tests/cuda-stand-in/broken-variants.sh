#!/bin/sh
# Builds GPU streams that are broken on purpose, and checks that a test notices each.
#
# Only the crates of this workspace are built anew. Run from anywhere in it.
set -eu

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
wrapper=$(cd "$target" && pwd)/broken-wrapper
missed=0

for variant in ${*:-early_publish early_release no_wait}; do
    printf '#!/bin/sh\nexec "$@" --cfg '"'"'shmstream_broken="%s"'"'"'\n' "$variant" > "$wrapper"
    chmod +x "$wrapper"
    export RUSTC_WORKSPACE_WRAPPER="$wrapper"
    build="cargo test --quiet --package shmstream-tests --test cuda_stream"
    touch shmstream/src/cuda/mod.rs 2>/dev/null || true
    $build --no-run
    if $build frames_are_right > "$target/broken-$variant.log" 2>&1; then
        echo "$variant: not noticed"
        missed=1
    else
        echo "$variant: noticed"
    fi
done
rm -f "$wrapper"
exit $missed
