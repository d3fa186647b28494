#!/bin/sh
# Builds a flow as a static program: `sh build.sh dependencies`, then `sh build.sh flow`, in a folder that holds the
# template with the handler laid over `function`, as faas-cli makes it. The program comes to lie beside this file.
#
# Two steps, so that a container build keeps the first, the long one, for as long as Cargo.toml, Cargo.lock and
# .cargo are the same. `sh build.sh target` comes before them in an image: it installs what another processor needs.
# `sh build.sh test-dependencies` and `sh build.sh test` come between them, and do nothing unless TESTS is 1.
#
# TARGET            what to build for (default: the processor that TARGETARCH names, or this machine's, with musl)
# TARGETARCH        the processor as Docker names it: amd64 or arm64
# CARGO_TARGET_DIR  where cargo builds (default: `target` beside this file)
# TESTS=1           builds the flow's tests in cargo's dev profile and runs them on this machine's processor
#
# LTO               `fat` for a smaller and faster program, which takes a minute more to link after each change (default: off)
#
# CARGO_PROFILE_RELEASE_CODEGEN_UNITS is kept to: with 16, the program is there sooner, and is larger.
set -eu
cd "$(dirname "$0")"

# A processor as Rust names it.
processor() {
    case "$1" in
        amd64) echo x86_64 ;;
        arm64) echo aarch64 ;;
        *) echo "$1" ;;
    esac
}
own=$(processor "$(uname -m)")
case "$(processor "${TARGET:-${TARGETARCH:-$own}}")" in
    x86_64) TARGET=x86_64-unknown-linux-musl ;;
    aarch64) TARGET=aarch64-unknown-linux-musl ;;
    *-*) ;;
    *) echo "build.sh: no target is known for ${TARGET:-${TARGETARCH:-$own}}: name one in TARGET" >&2 && exit 1 ;;
esac

# What tests are built for: what this machine can run.
tested=$TARGET
# What compiles C for a foreign processor: a GCC where there is one, else clang. rust-lld links, which comes with Rust.
foreign=
if [ "${TARGET%%-*}" != "$own" ]; then
    tested=$own-unknown-linux-musl
    foreign=clang
    for prefix in "${TARGET%%-*}-linux-musl" "${TARGET%%-*}-linux-gnu"; do
        if command -v "$prefix-gcc" > /dev/null; then foreign=$prefix; fi
    done
    variable=$(echo "$TARGET" | tr - _)
    if [ "$foreign" = clang ]; then
        export "CC_$variable=clang" "CFLAGS_$variable=--target=$TARGET"
    else
        export "CC_$variable=$foreign-gcc" "AR_$variable=$foreign-ar"
    fi
    export "CARGO_TARGET_$(echo "$variable" | tr '[:lower:]' '[:upper:]')_LINKER=rust-lld"
fi

CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# The steps are taken in folders of their own, and both mean the same one.
case "$CARGO_TARGET_DIR" in /*) ;; *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
# Panics must unwind: a flow answers for a step that panics.
CARGO_PROFILE_RELEASE_LTO=${LTO:-${CARGO_PROFILE_RELEASE_LTO:-off}}
CARGO_PROFILE_RELEASE_CODEGEN_UNITS=${CARGO_PROFILE_RELEASE_CODEGEN_UNITS:-1}
CARGO_PROFILE_RELEASE_STRIP=true
CARGO_PROFILE_RELEASE_PANIC=unwind
export CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_LTO CARGO_PROFILE_RELEASE_CODEGEN_UNITS CARGO_PROFILE_RELEASE_STRIP \
    CARGO_PROFILE_RELEASE_PANIC
# Tests are compiled once and thrown away: what only helps a debugger, or a second build, would take longer.
CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}
CARGO_INCREMENTAL=0
export CARGO_PROFILE_DEV_DEBUG CARGO_INCREMENTAL

# A lock file of the handler is kept to. Without one, versions are chosen in the first step, and the second keeps them.
locked=
if [ -f function/Cargo.lock ]; then locked=--locked; fi

# Said after cargo failed, in the folder of the flow, if it did not even find the crates. A path does not lead out of an image.
unpublished() {
    if grep -qs '^faasflow = .*git = ' .cargo/config.toml; then return; fi
    if cargo metadata --format-version 1 $locked > /dev/null 2>&1; then return; fi
    cat >&2 << 'TEXT'
build.sh: if cargo does not find `faasflow`: it is not published yet. Write where it is into .cargo/config.toml of the flow:

[patch.crates-io]
faasflow = { git = "https://github.com/faasflow/faasflow", rev = "COMMIT" }
faasflow-testkit = { git = "https://github.com/faasflow/faasflow", rev = "COMMIT" }
TEXT
}

# Makes a package of the same dependencies and no code in the folder `placeholder`, and goes there. A lock file stays.
placeholder() {
    rm -rf placeholder/src placeholder/.cargo
    mkdir -p placeholder/src
    cp function/Cargo.toml placeholder/
    if [ -n "$locked" ]; then cp function/Cargo.lock placeholder/; fi
    if [ -d function/.cargo ]; then cp -R function/.cargo placeholder/; fi
    : > placeholder/src/lib.rs
    echo 'fn main() {}' > placeholder/src/main.rs
    cd placeholder
}

# The versions that the first step has chosen, unless the handler has a lock file.
lock() {
    if [ -z "$locked" ] && [ -f placeholder/Cargo.lock ]; then cp placeholder/Cargo.lock function/; fi
}

# Paths, a build script, a bench: what else Cargo.toml may name is not in the placeholder, and cargo says so.
in_one_step() {
    echo 'build.sh: that could not be built without the sources: all is built in one step'
}

# Cargo tells packages of one name apart by no more than the times of their files: of the placeholder nothing may stay.
forget() {
    cargo clean --quiet --package "$(cargo pkgid)" --target "$@" 2> /dev/null
}

case "${1:-}" in
    target)
        if [ -z "$foreign" ]; then exit 0; fi
        if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$TARGET" ]; then rustup target add "$TARGET"; fi
        # Alpine has no other GCC. Its headers are for its own processor, and the same in what `ring` includes.
        if [ "$foreign" = clang ] && ! command -v clang > /dev/null; then apk add --no-cache clang; fi
        ;;
    dependencies)
        rm -rf placeholder
        placeholder
        if cargo build --release --target "$TARGET" $locked; then forget "$TARGET" --release; else in_one_step; fi
        ;;
    test-dependencies)
        if [ "${TESTS:-0}" != 1 ]; then exit 0; fi
        placeholder
        if cargo test --no-run --target "$tested" $locked; then forget "$tested"; else in_one_step; fi
        ;;
    test)
        if [ "${TESTS:-0}" != 1 ]; then exit 0; fi
        lock
        cd function
        # What does not compile says so itself.
        cargo test --no-run --target "$tested" $locked || { unpublished; exit 1; }
        cargo test --target "$tested" $locked || {
            echo "build.sh: the flow's tests failed, so the flow is not built. What failed is said above; \`cargo test\` in the" >&2
            echo 'project says it too.' >&2
            exit 1
        }
        ;;
    flow)
        lock
        cd function
        cargo build --release --target "$TARGET" $locked --bin flow || { unpublished; exit 1; }
        cp "$CARGO_TARGET_DIR/$TARGET/release/flow" ../flow
        echo "build.sh: the program is $(cd .. && pwd)/flow"
        ;;
    *)
        echo 'build.sh: say `target`, `dependencies`, `test-dependencies`, `test` or `flow`' >&2
        exit 2
        ;;
esac
