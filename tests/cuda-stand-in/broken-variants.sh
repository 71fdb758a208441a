#!/bin/sh
# Builds GPU streams that are broken on purpose, and checks that a test notices each; and that the tests
# pass where nothing is broken. Builds the crates of this workspace anew for each, and nothing else.
set -eu

cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/broken"
target=$(cd "$target" && pwd)/broken
missed=0

frames_are_right() {
    cargo test --quiet --package shmstream-tests --test cuda_stream "$@" frames_are_right
}

if ! frames_are_right > "$target/none.log" 2>&1; then
    cat "$target/none.log"
    echo "nothing is broken, and a test fails"
    exit 1
fi
for variant in ${*:-early_publish early_release no_wait}; do
    # Its path is part of what cargo tells builds apart by.
    wrapper=$target/$variant
    printf '#!/bin/sh\nexec "$@" --cfg '"'"'shmstream_broken="%s"'"'"'\n' "$variant" > "$wrapper"
    chmod +x "$wrapper"
    export RUSTC_WORKSPACE_WRAPPER="$wrapper"
    frames_are_right --no-run
    if frames_are_right > "$target/$variant.log" 2>&1; then
        echo "$variant: not noticed"
        missed=1
    else
        echo "$variant: noticed"
    fi
done
exit $missed
