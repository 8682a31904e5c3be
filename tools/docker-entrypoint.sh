#!/bin/sh
# Runs the given command as the owner of the mounted /app/results, so that the results belong to
# whoever started the container and not to root. `docker run --user` is left as it is.
set -eu
umask 022
export USER="${USER:-mlperf}"  # torch asks for a name, and this user may have none here
owner=$(stat -c %u:%g /app/results)
if [ "$(id -u)" = 0 ] && [ "${owner%:*}" != 0 ]; then
  exec setpriv --reuid "${owner%:*}" --regid "${owner#*:}" --clear-groups -- "$@"
fi
exec "$@"
