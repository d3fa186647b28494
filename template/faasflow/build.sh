#!/bin/sh
# Builds a flow as a static program: run `sh build.sh dependencies`, then `sh build.sh flow`. The folder must contain the
# template, with the flow's project in `function`, as `faas-cli build --shrinkwrap` makes it. The program is written next to
# this file.
#
# There are two steps so that a container build can cache the first one, which takes long, until Cargo.toml, Cargo.lock or
# .cargo changes. In an image, `sh build.sh target` comes before them and installs what another processor needs.
# `sh build.sh test-dependencies` and `sh build.sh test` come between them, and do nothing unless TESTS is 1.
#
# TARGET            what to build for (default: the processor that TARGETARCH names, or this machine's, with musl)
# TARGETARCH        the processor, as Docker calls it: amd64 or arm64
# CARGO_TARGET_DIR  where cargo builds (default: `target` beside this file)
# TESTS=1           builds the flow's tests in cargo's dev profile and runs them on this machine's processor
#
# LTO               `fat` for a program that needs less processor time, and takes a minute more to link after each change (default: off)
#
# CARGO_PROFILE_RELEASE_CODEGEN_UNITS, if set, is used: with 16, the build is faster and the program is larger.
set -eu
cd "$(dirname "$0")"

# The name that Rust has for a processor.
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

# Tests are built for a target that this machine can run.
tested=$TARGET
# For another processor, C is compiled by GCC if there is one, otherwise by clang. rust-lld, which comes with Rust, links.
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
# The steps run in different folders and must use the same target folder.
case "$CARGO_TARGET_DIR" in /*) ;; *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
# Panics must unwind, because a flow answers a request whose step panics.
CARGO_PROFILE_RELEASE_LTO=${LTO:-${CARGO_PROFILE_RELEASE_LTO:-off}}
CARGO_PROFILE_RELEASE_CODEGEN_UNITS=${CARGO_PROFILE_RELEASE_CODEGEN_UNITS:-1}
CARGO_PROFILE_RELEASE_STRIP=true
CARGO_PROFILE_RELEASE_PANIC=unwind
if [ "$CARGO_PROFILE_RELEASE_LTO" = fat ]; then level=3; else level=2; fi
CARGO_PROFILE_RELEASE_OPT_LEVEL=${CARGO_PROFILE_RELEASE_OPT_LEVEL:-$level}
export CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_LTO CARGO_PROFILE_RELEASE_CODEGEN_UNITS CARGO_PROFILE_RELEASE_STRIP \
    CARGO_PROFILE_RELEASE_PANIC CARGO_PROFILE_RELEASE_OPT_LEVEL
# Tests are compiled once and thrown away, so debug information and incremental builds would only cost time.
CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}
CARGO_INCREMENTAL=0
export CARGO_PROFILE_DEV_DEBUG CARGO_INCREMENTAL

# If the project has a lock file, its versions are used. Otherwise the first step chooses versions, and the second keeps them.
locked=
if [ -f function/Cargo.lock ]; then locked=--locked; fi

# Runs after cargo has failed, in the folder of the flow. If cargo did not find Faasflow's crates, it prints what to write. A
# path to a checkout would not work in an image.
unpublished() {
    if grep -qs '^faasflow = .*git = ' .cargo/config.toml; then return; fi
    if cargo metadata --format-version 1 $locked > /dev/null 2>&1; then return; fi
    cat >&2 << 'TEXT'
build.sh: cargo does not find `faasflow`, which is not published yet. Tell cargo where it is, in .cargo/config.toml of the flow:

[patch.crates-io]
faasflow = { git = "https://github.com/faasflow/faasflow", rev = "COMMIT" }
faasflow-testkit = { git = "https://github.com/faasflow/faasflow", rev = "COMMIT" }
TEXT
}

# Without LTO, these crates are small rather than fast. Those in `tiny` do next to nothing for most requests. Those in `small` do more:
# `faasflow-runtime` and `faasflow-core` are the largest of Faasflow's own.
tiny='brotli-decompressor chrono combine faasflow-admin faasflow-otlp faasflow-state h2 hyper-rustls idna object_store prometheus quick-xml
    redis rustix rustls rustls-webpki ruzstd url'
small='axum axum-core faasflow-core faasflow-http faasflow-runtime futures-util tokio-util tracing-subscriber'
if [ "$CARGO_PROFILE_RELEASE_LTO" = fat ]; then tiny=; small=; fi

# Runs cargo in the release profile, with the crates above optimized for size. Cargo warns about a crate that is not there.
cargo_release() {
    # This writes the lock file, if there is none. If it fails, the build says why.
    cargo metadata --format-version 1 $locked > /dev/null 2>&1 || true
    command=$1
    shift
    for crate in $tiny $small; do
        case " $small " in *" $crate "*) size=s ;; *) size=z ;; esac
        if grep -qs "^name = \"$crate\"" Cargo.lock; then
            set -- --config "profile.release.package.$crate.opt-level=\"$size\"" "$@"
        fi
    done
    cargo "$command" --release --target "$TARGET" $locked "$@"
}

# Creates a package with the same dependencies and no code in the folder `placeholder`, and changes to it. An existing lock
# file there is kept.
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

# Uses the versions that the first step has chosen, unless the project has a lock file.
lock() {
    if [ -z "$locked" ] && [ -f placeholder/Cargo.lock ]; then cp placeholder/Cargo.lock function/; fi
}

# The placeholder lacks other files that Cargo.toml may name, such as a build script or a bench. Cargo then reports an error.
in_one_step() {
    echo 'build.sh: the dependencies could not be built without the sources, so everything is built in one step'
}

# Cargo tells packages of the same name apart only by the times of their files, so nothing of the placeholder may stay.
forget() {
    cargo clean --quiet --package "$(cargo pkgid)" --target "$@" 2> /dev/null
}

case "${1:-}" in
    target)
        if [ -z "$foreign" ]; then exit 0; fi
        if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$TARGET" ]; then rustup target add "$TARGET"; fi
        # Alpine has no GCC for other processors. Its headers are for its own processor, but those that `ring` includes are the
        # same for all.
        if [ "$foreign" = clang ] && ! command -v clang > /dev/null; then apk add --no-cache clang; fi
        ;;
    dependencies)
        rm -rf placeholder
        placeholder
        if cargo_release build; then forget "$TARGET" --release; else in_one_step; fi
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
        # If the tests do not compile, cargo says so itself.
        cargo test --no-run --target "$tested" $locked || { unpublished; exit 1; }
        cargo test --target "$tested" $locked || {
            echo "build.sh: the flow's tests failed, so the flow is not built. The failures are shown above; to see them again," >&2
            echo 'run `cargo test` in the project.' >&2
            exit 1
        }
        ;;
    flow)
        lock
        cd function
        # The addresses that a static program adjusts at its start take much room as a plain list. Linkers that cannot pack it warn.
        packed=
        case "$TARGET" in *-linux-musl) packed='-Clink-args=-z pack-relative-relocs' ;; esac
        cargo_release rustc --bin flow -- ${packed:+"$packed"} || { unpublished; exit 1; }
        cp "$CARGO_TARGET_DIR/$TARGET/release/flow" ../flow
        echo "build.sh: the program is $(cd .. && pwd)/flow"
        ;;
    *)
        echo 'build.sh: give one argument: `target`, `dependencies`, `test-dependencies`, `test` or `flow`' >&2
        exit 2
        ;;
esac
