# Short names for what people do all day. CI calls .ci/run, which is `just ci`.

# List the recipes.
default:
    @just --list

# Build in release mode and start the server on http://127.0.0.1:8080.
run *ARGS:
    ./deploy/run {{ARGS}}

# Start a debug build, quicker to rebuild.
dev *ARGS:
    cargo run -- serve {{ARGS}}

# All tests, or those with a word in their name: `just test -- isolation`.
test *ARGS:
    ./deploy/test {{ARGS}}

# Formatting and lints.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Make the pictures of README.md anew; look at them before committing.
pictures:
    SYNCLINE_SCREENSHOTS="$PWD/web/screenshots" cargo test -p syncline --test it -- --ignored browser::pictures

# Everything that a change must pass.
ci:
    ./.ci/run

# Write the API's specification anew.
openapi:
    cargo run --quiet -- openapi > openapi/syncline.json.new
    mv openapi/syncline.json.new openapi/syncline.json
