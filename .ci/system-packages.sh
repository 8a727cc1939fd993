#!/bin/sh
# Install the system packages that the tests use, or say which are missing.
# asterisk-core-sounds-en-wav: real voices; ffmpeg: an independent decoder; strace: counting fsyncs and killing in them.
# iproute2: a loopback interface for the clean root in which the image's steps are run.
set -eu

missing=""
[ -d /usr/share/asterisk/sounds/en_US_f_Allison ] || missing="$missing asterisk-core-sounds-en-wav"
command -v ffmpeg >/dev/null || missing="$missing ffmpeg"
command -v strace >/dev/null || missing="$missing strace"
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing="$missing iproute2"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    # Word splitting is wanted: one argument a package.
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing </dev/null
else
    echo "The tests that need these are skipped or fail:$missing. On Debian and Ubuntu:" >&2
    echo "    sudo apt-get install$missing" >&2
fi
