# Functions that install what Syncline needs, for deploy/run and deploy/test. Sourced, not run.
#
# Each looks first, says what it does, and asks for the administrator's password only when something is missing.

# The oldest PostgreSQL that will do.
MINIMUM_POSTGRES=15
# The one to install where the system has none that is new enough.
PREFERRED_POSTGRES=17

say() {
    printf '==> %s\n' "$*" >&2
}

give_up() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Run a command as root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        give_up "this needs root, and there is no sudo: run as root: $*"
    fi
}

# apt_install WHY PACKAGE...
apt_install() {
    say "Installing ${*:2} ($1)"
    if [ -z "${APT_UPDATED:-}" ]; then
        as_root apt-get update -qq
        APT_UPDATED=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${@:2}" >&2
}

# brew_install WHY FORMULA...
brew_install() {
    command -v brew >/dev/null || give_up "install Homebrew (https://brew.sh), which installs ${*:2} ($1)"
    say "Installing ${*:2} ($1)"
    brew install "${@:2}" >&2
}

# The kind of system: apt, brew or unknown.
packages_of() {
    if command -v apt-get >/dev/null; then
        echo apt
    elif [ "$(uname -s)" = Darwin ]; then
        echo brew
    else
        echo unknown
    fi
}

need_rust() {
    command -v cargo >/dev/null || give_up "no Rust toolchain: see https://rustup.rs"
}

need_linker() {
    command -v cc >/dev/null && command -v make >/dev/null && return
    case $(packages_of) in
    apt) apt_install "Rust links with it, and the allocator is built with it" gcc libc6-dev make ;;
    brew) give_up "no C compiler: run xcode-select --install" ;;
    *) give_up "no C compiler or no make: install both, Rust links with one and the allocator is built with both" ;;
    esac
}

need_curl() {
    command -v curl >/dev/null && return
    case $(packages_of) in
    apt) apt_install "deploy/two-devices speaks HTTP with it" curl ca-certificates ;;
    *) give_up "install curl, deploy/two-devices speaks HTTP with it" ;;
    esac
}

# Succeeds when a PostgreSQL server that is new enough is where the server looks for one.
have_postgres() {
    local bin major
    for bin in "${PG_BIN:-}" "$(pg_config --bindir 2>/dev/null || true)" \
        "$(dirname "$(command -v postgres || echo /nowhere/postgres)")" \
        /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
        [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] || continue
        major=$("$bin/postgres" --version | sed 's/.*) \([0-9]*\).*/\1/')
        [ "${major:-0}" -ge "$MINIMUM_POSTGRES" ] && return
    done
    return 1
}

need_postgres() {
    have_postgres && return
    case $(packages_of) in
    apt) install_postgres_with_apt ;;
    brew) brew_install "the server runs one of its own" "postgresql@$PREFERRED_POSTGRES" ;;
    *) give_up "install PostgreSQL $MINIMUM_POSTGRES or newer, or set PG_BIN to the folder of its programs" ;;
    esac
    have_postgres || give_up "PostgreSQL was installed, but not found: set PG_BIN to the folder of its programs"
}

# The system's own PostgreSQL, or, where that is too old, the one of postgresql.org.
install_postgres_with_apt() {
    local offered
    as_root apt-get update -qq
    APT_UPDATED=yes
    offered=$(apt-cache show postgresql 2>/dev/null | sed -n 's/^Version: \([0-9]*\).*/\1/p' | sort -n | tail -1)
    if [ "${offered:-0}" -ge "$MINIMUM_POSTGRES" ]; then
        apt_install "the server runs one of its own" postgresql
        return
    fi
    apt_install "to add the packages of postgresql.org" postgresql-common ca-certificates
    say "Adding the packages of postgresql.org, because this system has PostgreSQL ${offered:-none} only"
    as_root /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y >&2
    apt_install "the server runs one of its own" "postgresql-$PREFERRED_POSTGRES"
}

have_browser() {
    command -v chromedriver >/dev/null || return 1
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
        command -v google-chrome >/dev/null || [ -d "/Applications/Chromium.app" ] ||
        [ -d "/Applications/Google Chrome.app" ]
}

need_browser() {
    have_browser && return
    case $(packages_of) in
    apt)
        # Ubuntu's packages have other names and stand for snaps.
        if [ "$(. /etc/os-release && echo "$ID")" = ubuntu ]; then
            apt_install "one test looks at the pages" chromium-browser chromium-chromedriver
        else
            apt_install "one test looks at the pages" chromium chromium-driver
        fi
        ;;
    brew)
        brew_install "one test looks at the pages" --cask chromium chromedriver
        ;;
    *) give_up "install Chromium and chromedriver, one test looks at the pages" ;;
    esac
    have_browser || give_up "Chromium or chromedriver was installed, but is not found on PATH"
}
