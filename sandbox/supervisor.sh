# The program at the far end of a command channel; requests and replies are described in supervisor.py.
#
# Nothing in here may fork except where a command is run, so that it still answers while a fork bomb has used up every
# process slot. `_h_` keeps the names apart from those of the image's environment. Positions in /proc/PID/stat are
# counted after the `)` that ends the command name. _h_dir, _h_crowd and _h_mark are set by supervisor.py.

exec 3>&2 2>/dev/null
cd /
_h_nl='
'
_h_sh=$(command -v bash) || _h_sh=$(command -v sh)
# To busybox's shell, `sh` is itself.
case $_h_sh in /*) ;; *) [ ! -x /bin/sh ] || _h_sh=/bin/sh ;; esac
_h_perl= _h_python=
_h_setsid=$(command -v setsid) || _h_perl=$(command -v perl) || _h_python=$(command -v python3)
read -r _h_s </proc/self/stat
set -f
set -- ${_h_s##*) }
_h_sid=$4 _h_sid1=none
if [ -z "$_h_mark" ]; then
  read -r _h_s </proc/1/stat
  set -- ${_h_s##*) }
  _h_sid1=$4
fi
set +f
_h_mem=
for _h_f in /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events; do
  [ -r "$_h_f" ] && _h_mem=$_h_f
done
_h_old=' ' _h_seen=' ' _h_ours= _h_job=0 _h_count=0
_h_full='heats: no room left in the sandbox for the command or its input'

# `$1` lines of input, as _h_v.
_h_lines() {
  _h_v= _h_i=0
  while [ "$_h_i" -lt "$1" ]; do
    IFS= read -r _h_l || exit 0
    if [ "$_h_i" -gt 0 ]; then _h_v=$_h_v$_h_nl$_h_l; else _h_v=$_h_l; fi
    _h_i=$((_h_i + 1))
  done
}

# `$1` bytes of input, into the file `$2`.
_h_body() {
  {
    [ "$1" -lt 65536 ] || dd bs=65536 count=$(($1 / 65536)) iflag=fullblock
    [ $(($1 % 65536)) -eq 0 ] || dd bs=$(($1 % 65536)) count=1 iflag=fullblock
  } | { cat >"$2" || { cat >/dev/null; false; }; }
}

# Which processes are there besides ours, now (_h_seen) and since the command began (_h_pids, of which _h_left live).
# Those in `$1`, ours when they were last looked at, are passed over: reading what a process is costs most.
_h_scan() {
  _h_left=0 _h_pids= _h_seen=' ' _h_ours=' ' _h_known=${1-}
  if [ -z "$_h_mark" ]; then
    set -- /proc/[0-9]*
  else
    set -- $(grep -lsF -- "$_h_mark" /proc/[0-9]*/environ)
  fi
  set -f
  for _h_f do
    _h_p=${_h_f#/proc/}
    _h_p=${_h_p%%/*}
    [ "$_h_p" = 1 ] && continue
    case $_h_known in
    *" $_h_p "*)
      _h_ours="$_h_ours$_h_p "
      continue
      ;;
    esac
    _h_s=
    IFS= read -r _h_s </proc/$_h_p/stat
    [ -n "$_h_s" ] || continue
    case $_h_s in *') '*) ;; *) _h_s='x) ? ? ? ?' ;; esac
    set -- ${_h_s##*) }
    # crun makes no session for what the daemon starts: all of that is in session 0, and only our forks are ours.
    case $4 in
    "$_h_sid1") _h_own=1 ;;
    0) [ "$_h_sid" = 0 ] && { [ "$_h_p" = $$ ] || [ "$2" = $$ ]; } && _h_own=1 || _h_own= ;;
    "$_h_sid") _h_own=1 ;;
    *) _h_own= ;;
    esac
    if [ -n "$_h_own" ]; then
      _h_ours="$_h_ours$_h_p "
      continue
    fi
    _h_seen="$_h_seen$_h_p:${20-} "
    case $_h_old in *" $_h_p:${20-} "*) continue ;; esac
    _h_pids="$_h_pids $_h_p"
    case $1 in Z | X | x) continue ;; esac
    _h_left=$((_h_left + 1))
  done
  set +f
}

_h_count_holders() {
  _h_held=0
  for _h_p in $_h_pids; do
    for _h_f in /proc/$_h_p/fd/*; do
      if [ "$_h_f" -ef /proc/self/fd/1 ] || [ "$_h_f" -ef /proc/self/fd/3 ]; then
        _h_held=$((_h_held + 1))
        break
      fi
    done
  done
}

# How many of the command's processes hold our output (_h_held).
_h_holders() {
  _h_i=0
  while _h_count_holders; [ "$_h_held" -eq 0 ] && [ -n "$_h_pids" ]; do
    _h_before=$_h_pids _h_i=$((_h_i + 1))
    _h_scan
    [ "$_h_pids" = "$_h_before" ] && break
    if [ "$_h_i" -eq 3 ]; then
      # They come and go faster than they can be looked at.
      _h_held=$((_h_left + 1))
      break
    fi
  done
}

_h_kill() {
  _h_i=0 _h_before=-1
  while [ "$_h_i" -lt 20 ]; do
    _h_scan
    if [ "$_h_left" -eq 0 ] || [ "$_h_left" -eq "$_h_before" ]; then break; fi
    kill -STOP $_h_pids
    _h_before=$_h_left _h_i=$((_h_i + 1))
  done
  _h_i=0
  while [ "$_h_i" -lt 20 ]; do
    [ -z "$_h_pids" ] || kill -KILL $_h_pids
    _h_scan
    [ "$_h_left" -eq 0 ] && break
    _h_i=$((_h_i + 1))
  done
}

# How many processes of the sandbox the kernel has killed for want of memory.
_h_oom() {
  _h_ooms=0
  [ -z "$_h_mem" ] || while read -r _h_a _h_b; do
    [ "$_h_a" = oom_kill ] && _h_ooms=$_h_b
  done <"$_h_mem"
}

# The command's own process: a session of its own, the streams, the directory and environment, then its shell.
_h_command() (
  if [ -n "$_h_bad" ]; then
    [ "$_h_merge" = 1 ] || exec 1>&3
    echo "$_h_full"
    exit 125
  fi
  if [ "$_h_merge" = 1 ]; then exec 2>&1 3>&-; else exec 2>&3 3>&-; fi
  eval "$_h_setup"
  if [ -n "$_h_setsid" ]; then exec "$_h_setsid" "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"}; fi
  if [ -n "$_h_perl" ]; then
    exec "$_h_perl" -e 'use POSIX; POSIX::setsid(); exec { $ARGV[0] } @ARGV' \
      "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"}
  fi
  exec "$_h_python" -c 'import os, sys
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])' "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"}
)

# Wait for the command and write its record. This is a fork: the supervisor itself goes on listening.
_h_watch() {
  _h_oom
  _h_was=$_h_ooms
  _h_command <"$_h_in"
  _h_rc=$?
  [ "$_h_rc" -eq 0 ] || _h_oom
  # Our own number, for less than reading it from a file a byte at a time.
  cd -P /proc/self && _h_ours="$_h_ours${PWD##*/} "
  _h_scan "$_h_ours"
  # What is just becoming another program shows no mark.
  [ -z "$_h_mark" ] || [ "$_h_left" -gt 0 ] || _h_scan "$_h_ours"
  _h_holders
  [ -z "$_h_file" ] || rm -f "$_h_file"
  [ "$_h_in" = /dev/null ] || rm -f "$_h_in"
  [ "$_h_merge" = 1 ] || printf '\036%s ended\036' "$_h_n" >&3
  printf '\036%s ended %s %s %s %s\036' "$_h_n" "$_h_rc" "$_h_left" "$_h_held" $((_h_ooms - _h_was))
}

_h_run() {
  _h_n=$1 _h_merge=$6 _h_in=/dev/null _h_file= _h_bad=
  _h_lines "$2"
  _h_setup=$_h_v
  _h_lines "$3"
  _h_cmd=$_h_v
  _h_count=$((_h_count + 1))
  if [ "$4" -gt 0 ]; then
    _h_file=$_h_dir/command.$_h_count _h_cmd='. "$0"'
    _h_body "$4" "$_h_file" || _h_bad=1
  fi
  if [ "$5" -gt 0 ]; then
    _h_in=$_h_dir/input.$_h_count
    _h_body "$5" "$_h_in" || { _h_bad=1; rm -f "$_h_in"; _h_in=/dev/null; }
  fi
  _h_old=' ' _h_seen=' ' _h_left=0
  [ -n "$_h_mark" ] || _h_scan "$_h_ours"
  # Near the limit of processes this shell could not fork any more, and would end.
  [ "$_h_left" -lt "$_h_crowd" ] || _h_kill
  _h_old=$_h_seen
  _h_watch &
  _h_job=$!
}

_h_watched() {
  _h_s= _h_alive=0
  IFS= read -r _h_s </proc/$_h_job/stat
  case ${_h_s##*) } in '' | Z* | X*) ;; *) _h_alive=1 ;; esac
}

while IFS= read -r _h_l; do
  set -f
  set -- $_h_l
  set +f
  case $1 in
  run) shift && _h_run "$@" ;;
  stop)
    _h_scan
    [ -z "$_h_pids" ] || kill -TERM $_h_pids
    ;;
  kill)
    _h_kill
    printf '\036%s kill %s\036' "$2" "$_h_left"
    ;;
  clear)
    _h_old=' '
    _h_kill
    printf '\036%s clear %s\036' "$2" "$_h_left"
    ;;
  look)
    _h_scan
    [ "$_h_left" -lt "$_h_crowd" ] || _h_kill
    _h_holders
    _h_oom
    printf '\036%s look %s %s %s\036' "$2" "$_h_left" "$_h_held" "$_h_ooms"
    ;;
  watched)
    _h_watched
    printf '\036%s watched %s\036' "$2" "$_h_alive"
    ;;
  move)
    exec >"$3" 3>"$4"
    [ -z "${5-}" ] || exec <"$5"
    printf '\036%s move\036' "$2"
    ;;
  end)
    kill -USR2 1
    exit
    ;;
  hello)
    _h_new=${_h_setsid:-${_h_perl:-$_h_python}}
    printf '\036%s hello %s %s\036' "$2" "$_h_sh" "${_h_new:-none}"
    ;;
  esac
done
