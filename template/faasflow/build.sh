#!/bin/sh
# Builds a flow as a static program: `sh build.sh dependencies`, then `sh build.sh flow`, in a folder that holds the
# template with the handler laid over `function`, as faas-cli makes it. The program comes to lie beside this file.
#
# Two steps, so that a container build keeps the first, the long one, for as long as Cargo.toml, Cargo.lock and
# .cargo are the same. `sh build.sh target` comes before them in an image: it installs what another processor needs.
#
# TARGET            what to build for (default: the processor that TARGETARCH names, or this machine's, with musl)
# TARGETARCH        the processor as Docker names it: amd64 or arm64
# CARGO_TARGET_DIR  where cargo builds (default: `target` beside this file)
# TESTS=1           runs the flow's tests too, on this machine's processor, and fails with them; for both steps
#
# CARGO_PROFILE_RELEASE_LTO and CARGO_PROFILE_RELEASE_CODEGEN_UNITS are kept to: with `false` and 16, the program is there
# sooner, and is larger.
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
# Small, for several times the linking. Panics must unwind: a flow answers for a step that panics.
CARGO_PROFILE_RELEASE_LTO=${CARGO_PROFILE_RELEASE_LTO:-fat}
CARGO_PROFILE_RELEASE_CODEGEN_UNITS=${CARGO_PROFILE_RELEASE_CODEGEN_UNITS:-1}
CARGO_PROFILE_RELEASE_STRIP=true
CARGO_PROFILE_RELEASE_PANIC=unwind
export CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_LTO CARGO_PROFILE_RELEASE_CODEGEN_UNITS CARGO_PROFILE_RELEASE_STRIP \
    CARGO_PROFILE_RELEASE_PANIC

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

case "${1:-}" in
    target)
        if [ -z "$foreign" ]; then exit 0; fi
        if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$TARGET" ]; then rustup target add "$TARGET"; fi
        # Alpine has no other GCC. Its headers are for its own processor, and the same in what `ring` includes.
        if [ "$foreign" = clang ] && ! command -v clang > /dev/null; then apk add --no-cache clang; fi
        ;;
    dependencies)
        # A package of the same dependencies and no code.
        rm -rf placeholder
        mkdir -p placeholder/src
        cp function/Cargo.toml placeholder/
        if [ -n "$locked" ]; then cp function/Cargo.lock placeholder/; fi
        if [ -d function/.cargo ]; then cp -R function/.cargo placeholder/; fi
        : > placeholder/src/lib.rs
        echo 'fn main() {}' > placeholder/src/main.rs
        cd placeholder
        # Paths, a build script, a bench: what else Cargo.toml may name is not here, and cargo says so.
        if { [ "${TESTS:-0}" != 1 ] || cargo test --no-run --release --target "$tested" $locked; } &&
            cargo build --release --target "$TARGET" $locked; then
            # Cargo tells packages of one name apart by no more than the times of their files: of this one nothing may stay.
            for target in "$TARGET" "$tested"; do
                cargo clean --quiet --release --target "$target" --package "$(cargo pkgid)" 2> /dev/null
            done
        else
            echo 'build.sh: that could not be built without the sources: all is built in one step'
        fi
        ;;
    flow)
        if [ -z "$locked" ] && [ -f placeholder/Cargo.lock ]; then cp placeholder/Cargo.lock function/; fi
        cd function
        if [ "${TESTS:-0}" = 1 ]; then cargo test --release --target "$tested" $locked || { unpublished; exit 1; }; fi
        cargo build --release --target "$TARGET" $locked --bin flow || { unpublished; exit 1; }
        cp "$CARGO_TARGET_DIR/$TARGET/release/flow" ../flow
        echo "build.sh: the program is $(cd .. && pwd)/flow"
        ;;
    *)
        echo 'build.sh: say `target`, `dependencies` or `flow`' >&2
        exit 2
        ;;
esac
