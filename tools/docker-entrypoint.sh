#!/bin/sh
# Runs the given command as the owner of the mounted /app/results, so that the results belong to
# whoever started the container and not to root. Under `docker run --user` it changes nothing.
set -eu
umask 022
export USER="${USER:-mlperf}"  # torch asks for a name, and that user may have none in here
owner=$(stat -c %u /app/results)
group=$(stat -c %g /app/results)
if [ "$(id -u)" = 0 ] && [ "$owner" != 0 ]; then
  # Docker makes a folder that is missing on the host as root.
  [ "$(stat -c %u /cache)" != 0 ] || chown "$owner:$group" /cache
  exec setpriv --reuid "$owner" --regid "$group" --clear-groups -- "$@"
fi
exec "$@"
