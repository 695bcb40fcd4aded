# Sourced by the demo's jobs: the host's toolchain, and a cargo home of the job's own that finds the host's crates.
PATH="$TOOLCHAIN/bin:$PATH"
export PATH
export CARGO_HOME="$HOME/.cargo"
mkdir -p "$CARGO_HOME"
ln -sfn "$REGISTRY" "$CARGO_HOME/registry"
