/* The lane protocol of core/FORMAT.md, section 5: who may die when, what a take-over finds, how many slots are enough,
 * and that counts are exact. Sequentially consistent: weak memory is the matter of core/tests/loom.
 *
 * Every shared word holds a number of SW bits, so that numbers wrap inside a run; a descriptor's number and the producer's
 * own are wide. Where the shipping producer takes the slot that is CLEAN for longest, this one takes any. Variables that
 * begin with g are read by assertions alone.
 *
 *   N slots  C seats with one pin each  H history  MAXF frames  SW bits of a number  R ring length: a power of two, <= 2^SW, > H
 *   TWO      two loans may be out at once, published in either order
 *   KILLC    a consumer may die at any step; its seat is reclaimed and taken again
 *   KILLP    the producer may die at any step; another takes over in place
 *   NOCONS   no consumer     OBS an observer     MON the newest H frames can be pinned at every moment
 *   BUG_...  mutants: each must fail, as cases.txt says
 */
#define MASK ((1 << SW) - 1)
#define NONE 255
/* states of a slot's word */
#define FREE 0
#define READY 1
#define RETIRED 2
#define WRITING 3
/* and two that only the producer's own table knows */
#define CLEAN 4
#define EARLY 5
#define WORD(state, n) ((((n) & MASK) << 2) | (state))

byte word[N], num[N], data[N], ring[R], latest, latest_slot, pin[C];
bool cdead[C], pdead, pdone;
byte kills, pkills, gmax, glatest;

#ifdef BUG_SHORT_AGE
#define OLD(n, newest) (((n) & MASK) + H <= ((newest) & MASK))
#else
#define OLD(n, newest) ((n) + H <= (newest))
#endif
#ifdef BUG_ZERO_IS_NONE
#define ANNOUNCE(n) ((n) & MASK)
#define ANNOUNCED(l) (l)
#else
#define ANNOUNCE(n) WORD(READY, n)
#define ANNOUNCED(l) ((l) >> 2)
#endif

proctype Producer(bool again) {
  byte n, s, i, held, st[N], own[N], pend; bool clean;
  {
  /* take over: the wide numbers of the descriptors order what is found; nothing is CLEAN until a sweep says so */
  pend = NONE; n = 0; i = 0; s = NONE;
  do
  :: atomic { i < N ->
       st[i] = word[i] & 3;
       if
       :: st[i] == WRITING ->
#ifdef BUG_TAKEOVER_KEEPS_NUMBER
          st[i] = FREE; own[i] = num[i]; word[i] = num[i] << 2; if :: num[i] >= n -> n = gmax + 1 :: else fi
#else
          st[i] = FREE; own[i] = 0; word[i] = 0
#endif
       :: st[i] == FREE -> own[i] = 0
       :: else ->
#ifdef BUG_TAKEOVER_SHORT
          own[i] = word[i] >> 2;
#else
          own[i] = num[i]; assert(WORD(0, num[i]) == (word[i] & ~3));
#endif
          if :: own[i] > n -> n = own[i]; s = (st[i] == READY -> i : s) :: else fi
#ifdef BUG_TAKEOVER_CLEAN
          ; if :: again && st[i] == RETIRED -> st[i] = CLEAN :: else fi
#endif
       fi;
       i++ }
  :: else -> break
  od;
#ifdef BUG_NUMBER_AGAIN
  if :: again && n > 0 && ANNOUNCE(n) != latest -> n-- :: else fi;
#endif
  /* what was published and not announced */
  if :: s != NONE -> ring[n & (R-1)] = s; latest_slot = s; latest = ANNOUNCE(n); glatest = n :: else fi;
  goto retire;

loan:
  if :: n + (pend != NONE) >= MAXF -> goto fin :: else fi;
  atomic {
    i = 0; clean = false;
    do :: i < N -> clean = clean || st[i] == CLEAN; i++ :: else -> break od;
    i = 0; held = 0 };
  if
  :: clean -> skip
  :: else -> /* sweep: (A), then each cell by itself */
     do
     :: atomic { i < C -> if :: pin[i] != 0 -> held = held | (1 << (pin[i] - 1)) :: else fi; i++ }
     :: atomic { else -> break }
     od;
#ifdef BUG_SWEEP_SEES_NOTHING
     held = 0;
#endif
     atomic {
       i = 0;
       do
       :: i < N ->
          if
          :: st[i] == FREE -> st[i] = CLEAN
          :: st[i] == RETIRED && !((held >> i) & 1) -> st[i] = CLEAN
#ifdef BUG_CLEAN_BEFORE_RETIRED /* believes of a READY slot what the sweep saw, and does not look again when it retires */
          :: st[i] == READY && !((held >> i) & 1) -> st[i] = EARLY
#endif
          :: else
          fi;
          i++
       :: else -> break
       od }
  fi;
  atomic {
    s = NONE; i = 0;
    do
    :: i < N -> if :: st[i] == CLEAN -> s = i :: st[i] == CLEAN && s != NONE -> skip :: else fi; i++
    :: else -> break
    od;
    assert(s != NONE); /* N >= sum of pins + H + W: a loan succeeds */
    i = 0; held = 0; clean = false; st[s] = WRITING; own[s] = 0 };
  word[s] = WORD(WRITING, 0);                                       /* (B) */
  data[s] = 0;
#ifdef TWO
  if
  :: pend == NONE -> pend = s; goto loan
  :: pend == NONE -> skip
  :: pend != NONE -> skip
  :: pend != NONE -> atomic { i = s; s = pend; pend = i; i = 0 }
  fi;
#endif
  data[s] = n + 1;
  num[s] = n + 1;
  atomic { n++; word[s] = WORD(READY, n); st[s] = READY; own[s] = n; assert(n == gmax + 1); gmax = n };   /* (b) */
  ring[n & (R-1)] = s;
  latest_slot = s;
  atomic { latest = ANNOUNCE(n); glatest = n };                     /* (c) */
retire:
  i = 0;
  do
  :: atomic { i < N ->
       if
       :: (st[i] == READY || st[i] == EARLY) && OLD(own[i], n) ->
          st[i] = (st[i] == EARLY -> CLEAN : RETIRED); word[i] = WORD(RETIRED, own[i])                    /* (d) */
       :: else
       fi;
       i++ }
  :: atomic { else -> i = 0; s = 0; break }
  od;
  goto loan;
fin:
  pdone = true
  }
#ifdef KILLP
  unless { pdead };
  if :: pdead -> pdead = false; run Producer(true) :: else fi
#endif
}

#ifdef BUG_GREATER
#define NEWER (latest != 0 && ANNOUNCED(latest) > (cur & MASK))
#else
#define NEWER (latest != 0 && ANNOUNCED(latest) != (cur & MASK))
#endif

/* Reads in order and counts; pin[id] is the only shared word that it writes. */
proctype Consumer(byte id) {
  byte cur, got, lost, L, gL, q, s, w, f;
  {
  skip;
again:
  atomic {
    if :: NEWER -> L = ANNOUNCED(latest); gL = glatest :: pdone && !NEWER -> goto end fi;
#ifdef BUG_LOW
    q = (cur & MASK) + 1; if :: L > H && q < L - H + 1 -> q = L - H + 1 :: else fi;
#else
    if :: ((L - cur) & MASK) > H -> q = (L - H + 1) & MASK :: else -> q = (cur + 1) & MASK fi;
#endif
    L = (q == L) };
  if :: L != 0 -> s = latest_slot :: else -> s = ring[q & (R-1)] fi;
pin_it:
  pin[id] = s + 1;                                                  /* (f), then (C) */
  w = word[s];
#ifndef BUG_HINT_BELIEVED
  if :: L != 0 && w != WORD(READY, q) -> L = 0; s = ring[q & (R-1)]; goto pin_it :: else -> L = 0 fi;
#else
  L = 0;
#endif
#ifdef BUG_NOT_VALIDATED
  if :: true ->
#else
  if :: w == WORD(READY, q) ->
#endif
     f = num[s];
     atomic { assert(data[s] == f); assert((f & MASK) == q || w != WORD(READY, q)) };
     atomic {
       assert(data[s] == f && num[s] == f); /* two looks: it stands still while it is held */
       if
       :: f > cur ->
#ifdef BUG_SHORT_COUNT
          lost = lost + ((q - cur - 1) & MASK);
#else
          lost = lost + (f - cur - 1);
#endif
          cur = f; got++; assert(got + lost == cur)
       :: else -> skip /* a whole lap went by: older than what was delivered */
       fi }
  :: else -> atomic { assert(glatest != gL) } /* a frame of the newest H is never gone */
  fi;
  atomic { pin[id] = 0; w = 0; s = 0; q = 0; gL = 0; f = 0 };       /* (h) */
  goto again;
end:
  assert(((gmax - cur) & MASK) == 0) /* all is seen, but for whole laps at one look */
  }
#ifdef KILLC
  unless { cdead[id] };
  if :: cdead[id] -> pin[id] = 0; cdead[id] = false; run Consumer(id) :: else fi /* reclaimed with the proof, taken again */
#endif
}

#ifdef OBS
#define OK(w) ((w) == WORD(READY, L) || (w) == WORD(RETIRED, L))
proctype Observer() {
  byte cur, L, s, w, a, b, n1, n2;
again:
  atomic { if :: NEWER -> L = ANNOUNCED(latest) :: pdone && !NEWER -> goto end fi };
  s = ring[L & (R-1)];
  n1 = num[s];                                                      /* (j) */
  w = word[s];
  if
  :: OK(w) ->
     a = data[s]; b = data[s];
     w = word[s];
     n2 = num[s];                                                   /* (k) */
#if defined(BUG_OBSERVER_WORD_ONLY)
     if :: OK(w) ->
#elif defined(BUG_OBSERVER_NUMBER_ONLY)
     if :: n1 == n2 ->
#else
     if :: OK(w) && n1 == n2 ->
#endif
        assert(a == n1 && b == n1) :: else fi
  :: else
  fi;
  atomic { cur = L; a = 0; b = 0; n1 = 0; n2 = 0; s = 0; w = 0; L = 0 };
  goto again;
end:
  skip
}
#endif
#ifdef KILLC
active proctype KillC() { if :: kills < 1 -> kills++; cdead[0] = true :: true fi }
#endif
#ifdef KILLP
active proctype KillP() { if :: pkills < 1 -> pkills++; atomic { if :: !pdone -> pdead = true :: else fi } :: true fi }
#endif
#ifdef BUG_RECLAIM_WITHOUT_PROOF
active proctype Impatient() { pin[0] = 0 } /* a time-out that hits a stopped consumer */
#endif
#ifdef MON
active proctype Mon() {
end:
  do
  :: atomic { glatest > 0 -> assert(word[ring[glatest & (R-1)]] == WORD(READY, glatest));
       if :: H >= 2 && glatest >= 2 -> assert(word[ring[(glatest-1) & (R-1)]] == WORD(READY, glatest-1)) :: else fi }
  od
}
#endif
init {
  byte j = 0;
  atomic {
    run Producer(false);
#ifndef NOCONS
    do :: j < C -> run Consumer(j); j++ :: else -> break od;
#endif
#ifdef OBS
    run Observer();
#endif
    skip }
}
