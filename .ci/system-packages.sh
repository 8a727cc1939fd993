#!/bin/sh
# Install the system packages that the tests use, or say which are missing.
# asterisk-core-sounds-en-wav: real voices; ffmpeg: an independent decoder; strace: counting fsyncs and killing in them.
# iproute2: a loopback interface for the clean root in which the image's steps are run.
# prometheus: dashboards and alerts are tried on a real one; its service is not started.
set -eu

missing=""
[ -d /usr/share/asterisk/sounds/en_US_f_Allison ] || missing="$missing asterisk-core-sounds-en-wav"
command -v ffmpeg >/dev/null || missing="$missing ffmpeg"
command -v strace >/dev/null || missing="$missing strace"
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing="$missing iproute2"
command -v promtool >/dev/null || missing="$missing prometheus"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    case " $missing " in
    *" prometheus "*)
        # Debian starts a service with its package; the tests start their own, on ports of their own.
        [ -e /usr/sbin/policy-rc.d ] || {
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
            printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
            chmod +x /usr/sbin/policy-rc.d
        }
        ;;
    esac
    apt-get update -qq </dev/null
    # Word splitting is wanted: one argument a package.
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing </dev/null
else
    echo "The tests that need these are skipped or fail:$missing. On Debian and Ubuntu:" >&2
    echo "    sudo apt-get install$missing" >&2
fi
