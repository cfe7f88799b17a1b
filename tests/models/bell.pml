/* Sleeping (core/FORMAT.md, section 5): the producer wakes only if a seat says that somebody sleeps. A wake-up that is lost
 * is an invalid end state: a consumer that waits while a frame is there.
 *
 *   C seats  MAXF frames  BW bits of the bell  KILL a consumer may die at any step; its seat is reclaimed and taken again
 *   BUG_...  mutants: each must fail, as cases.txt says; BUG_FIRST_SIGHT wakes only when it sees a flag for the first time
 */
#define BMASK ((1 << BW) - 1)

byte latest, bell; bool sleeping[C], queued[C], dead[C];
byte kills;

inline wake_all() { atomic { byte k = 0; do :: k < C -> queued[k] = false; k++ :: else -> break od; k = 0 } } /* FUTEX_WAKE(bell, all) */
active proctype Producer() {
  byte n, i; bool any, was;
  do
  :: n < MAXF -> n++;
#ifdef BUG_SCAN_FIRST
     any = false; i = 0; do :: i < C -> any = any || sleeping[i]; i++ :: else -> break od;
     latest = n; bell = (bell + 1) & BMASK;
#else
     latest = n; bell = (bell + 1) & BMASK;   /* then fence(SeqCst) */
     any = false; i = 0; do :: i < C -> any = any || sleeping[i]; i++ :: else -> break od;
#endif
#ifdef BUG_FIRST_SIGHT
     if :: any && !was -> wake_all() :: else fi; was = any
#else
     if :: any -> wake_all() :: else fi
#endif
  :: else -> break
  od
}
proctype Consumer(byte id) {
  byte cur, b;
  {
  do
  :: b = bell;
     if :: latest != cur -> atomic { cur = latest; if :: cur == MAXF -> break :: else fi }
        :: else ->
#ifndef BUG_FLAG_LATE
           sleeping[id] = true;               /* then fence(SeqCst) */
#endif
           if :: bell != b -> skip
              :: else ->
#ifdef BUG_FLAG_LATE
                 sleeping[id] = true;
                 atomic { queued[id] = true }  /* and no compare: what a flag without the futex's own check would be */
#else
                 atomic { if :: bell == b -> queued[id] = true :: else fi }  /* FUTEX_WAIT compares and queues under one lock */
#endif
                 ; !queued[id]
           fi;
           sleeping[id] = false
     fi
  od
  }
#ifdef KILL
  unless { dead[id] };
  if :: dead[id] -> atomic { dead[id] = false; queued[id] = false } sleeping[id] = false; run Consumer(id) :: else fi
#endif
}
#ifdef KILL
active proctype Killer() { if :: kills < 1 -> kills++; dead[0] = true :: true fi }
#endif
#ifdef BUG_CLEAR_ALIVE
active proctype Hasty() { sleeping[0] = false }
#endif
init { byte j = 0; atomic { do :: j < C -> run Consumer(j); j++ :: else -> break od } }
