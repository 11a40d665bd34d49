# The program at the far end of a command channel; requests and replies are described in supervisor.py.
#
# Nothing in here may fork except where a command is run or a worker started, so that it still answers while a fork
# bomb has used up every process slot. `_h_` keeps the names apart from those of the image's environment. Positions in
# /proc/PID/stat are counted after the `)` that ends the command name. _h_dir, _h_crowd, _h_mark and _h_launcher are
# set by whoever starts it.

exec 3>&2 2>/dev/null
cd /
_h_nl='
'
_h_sh=$(command -v bash) || _h_sh=$(command -v sh)
# To busybox's shell, `sh` may be itself; the launcher wants a path.
case $_h_sh in
/*) ;;
*) if [ -x /bin/sh ]; then _h_sh=/bin/sh; else _h_launcher=; fi ;;
esac
_h_setsid= _h_perl= _h_python=
if [ -z "$_h_launcher" ] || ! "$_h_launcher"; then
  _h_launcher=
  _h_setsid=$(command -v setsid) || _h_perl=$(command -v perl) || _h_python=$(command -v python3)
fi
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
_h_old=' ' _h_seen=' ' _h_ours= _h_job=0 _h_worker=0 _h_alone= _h_me=
_h_full='heats: no room left in the sandbox for the command or its input'

_h_lines() {
  _h_v= _h_i=0
  while [ "$_h_i" -lt "$1" ]; do
    IFS= read -r _h_l || exit 0
    if [ "$_h_i" -gt 0 ]; then _h_v=$_h_v$_h_nl$_h_l; else _h_v=$_h_l; fi
    _h_i=$((_h_i + 1))
  done
}

_h_body() {
  {
    [ "$1" -lt 65536 ] || dd bs=65536 count=$(($1 / 65536)) iflag=fullblock
    [ $(($1 % 65536)) -eq 0 ] || dd bs=$(($1 % 65536)) count=1 iflag=fullblock
  } | { cat >"$2" || { cat >/dev/null; false; }; }
}

# Who is there besides us, now and since the command began (`_h_old`). Those in `$1`, ours when they were last looked
# at, are passed over: reading what a process is costs more than all the rest.
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
    case $_h_p in 1 | "$_h_me") continue ;; esac
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
    if [ "$4" = "$_h_sid" ] || [ "$4" = "$_h_sid1" ]; then
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

_h_oom() {
  _h_ooms=0
  [ -z "$_h_mem" ] || while read -r _h_a _h_b; do
    [ "$_h_a" = oom_kill ] && _h_ooms=$_h_b
  done <"$_h_mem"
}

# A shell that only has to start a program does not copy itself for that (`vfork`). The redirections are the command's
# own: what the shell says of a killed one goes to its own standard error, which is nowhere.
_h_start() {
  if [ "$_h_merge" = 1 ]; then
    eval "$_h_pro" 2>&1
    "$_h_launcher" "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"} <"$_h_in" 3>&1
  else
    eval "$_h_pro" 2>&3
    "$_h_launcher" "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"} <"$_h_in"
  fi
}

# The same without the launcher.
_h_start_slowly() (
  echo 500 >/proc/self/oom_score_adj
  if [ "$_h_merge" = 1 ]; then exec 2>&1 3>&-; else exec 2>&3 3>&-; fi
  eval "$_h_pro"
  if [ -n "$_h_setsid" ]; then exec "$_h_setsid" "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"}; fi
  if [ -n "$_h_perl" ]; then
    exec "$_h_perl" -e 'use POSIX; POSIX::setsid(); exec { $ARGV[0] } @ARGV' \
      "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"}
  fi
  exec "$_h_python" -c 'import os, sys
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])' "$_h_sh" -c "$_h_cmd" ${_h_file:+"$_h_file"}
)

_h_go() {
  _h_rc=125 _h_path=$PATH
  [ -z "$_h_file" ] || _h_cmd='. "$0"'
  if [ -z "$_h_bad" ]; then
    if [ -n "$_h_launcher" ]; then _h_start; else _h_start_slowly <"$_h_in"; fi
    _h_rc=$?
    [ -z "$_h_path" ] || PATH=$_h_path
    unset IFS
  elif [ "$_h_merge" = 1 ]; then
    echo "$_h_full"
  else
    echo "$_h_full" >&3
  fi
  # The number of this process, for less than reading it from a file a byte at a time.
  [ -n "$_h_me" ] || { cd -P /proc/self && _h_me=${PWD##*/}; }
  cd /
  _h_was=$_h_ooms
  [ "$_h_rc" -eq 0 ] || _h_oom
  _h_scan "$_h_ours"
  # What is just becoming another program shows no mark.
  [ -z "$_h_mark" ] || [ "$_h_left" -gt 0 ] || _h_scan "$_h_ours"
  _h_holders
  [ -z "$_h_file" ] || rm -f "$_h_file"
  [ "$_h_in" = /dev/null ] || rm -f "$_h_in"
  [ "$_h_merge" = 1 ] || printf '\036%s X\036' "$_h_n" >&3
  [ "$_h_seen" = ' ' ] && _h_seen=0 || _h_seen=1
  printf '\036%s X %s %s %s %s %s\036' "$_h_n" "$_h_rc" "$_h_left" "$_h_held" $((_h_ooms - _h_was)) "$_h_seen"
}

_h_run() {
  _h_n=$1 _h_merge=$6 _h_in=/dev/null _h_file= _h_bad= _h_cmd=
  if [ "$2" -gt 0 ]; then
    _h_lines "$2"
    _h_pro=$_h_v
  fi
  _h_lines "$3"
  _h_cmd=$_h_v
  if [ "$4" -gt 0 ]; then
    _h_file=$_h_dir/c.$_h_n
    _h_body "$4" "$_h_file" || _h_bad=1
  fi
  if [ "$5" -gt 0 ]; then
    _h_in=$_h_dir/i.$_h_n
    _h_body "$5" "$_h_in" || _h_bad=1
  fi
  _h_old=' ' _h_seen=' ' _h_left=0
  [ -n "$_h_mark" ] || [ "$7" = 0 ] || _h_scan
  # Near the limit of processes this shell could not fork any more, and would end.
  [ "$_h_left" -lt "$_h_crowd" ] || _h_kill
  _h_old=$_h_seen
  _h_oom
  [ -z "$_h_alone" ] || { _h_go; return; }
  _h_go &
  _h_job=$!
}

_h_dismiss() {
  [ "$_h_worker" -gt 0 ] || return 0
  kill -KILL "$_h_worker"
  wait "$_h_worker"
  _h_worker=0
}

_h_lives() {
  _h_s= _h_alive=0
  IFS= read -r _h_s </proc/$1/stat
  case ${_h_s##*) } in '' | Z* | X*) ;; *) _h_alive=1 ;; esac
}

# What comes in, to the end of it. A worker does the same, but runs each command itself.
_h_serve() {
  while IFS= read -r _h_l; do
    set -f
    set -- $_h_l
    set +f
    case $1 in
    R) shift && _h_run "$@" ;;
    T)
      _h_scan
      [ -z "$_h_pids" ] || kill -TERM $_h_pids
      ;;
    K)
      _h_kill
      printf '\036%s K %s\036' "$2" "$_h_left"
      ;;
    A)
      _h_old=' '
      _h_kill
      printf '\036%s A %s\036' "$2" "$_h_left"
      ;;
    Q)
      _h_scan
      [ "$_h_left" -lt "$_h_crowd" ] || _h_kill
      _h_holders
      printf '\036%s Q %s %s\036' "$2" "$_h_left" "$_h_held"
      ;;
    P)
      if [ -n "${3-}" ]; then _h_lives "$_h_worker"; else _h_lives "$_h_job"; fi
      printf '\036%s P %s\036' "$2" "$_h_alive"
      ;;
    W)
      _h_dismiss
      {
        _h_alone=1
        exec <"$3"
        printf '\036%s W\036' "$2"
        _h_serve
      } &
      _h_worker=$!
      ;;
    N)
      _h_dismiss
      exec >"$3" 3>"$4"
      [ -z "${5-}" ] || exec <"$5"
      printf '\036%s N\036' "$2"
      ;;
    E)
      kill -USR2 1
      exit
      ;;
    H)
      _h_new=${_h_launcher:-${_h_setsid:-${_h_perl:-$_h_python}}}
      printf '\036%s H %s %s %s\036' "$2" "$_h_sid" "$_h_sh" "${_h_new:-none}"
      ;;
    esac
  done
}

_h_serve
