"""Leadership: of all workers on one store, one at a time decides which task takes which event. All
workers make calls.

A worker goes through these states::

                        elected
        ┌───────────────────────────────────────┐
        │                                       ▼
    ┌──────────┐  term lost, store unavailable,  ┌────────┐
    │ follower │◄─────────── error ──────────────│ leader │
    └──────────┘                                 └────────┘
        │                                       │
        │ stop                             stop │ resigns
        ▼                                       ▼
    ┌─────────────────────────────────────────────────────┐
    │                       stopped                       │
    └─────────────────────────────────────────────────────┘

follower  Claims targets and calls Conductor for them. Tries every half second to be elected, which
          succeeds if there is no leader, if the leader's term has run out, or if its process is
          known to be dead.
leader    Also owns a `Leader`, which reads waiting tasks and held events from the store, and then,
          again and again, scans Conductor for waiting tasks and decides the events that arrived
          before the scan began. A `Heartbeat` renews the term. What happens at intervals
          (discovery, task time-outs, maintenance) runs on other threads, which hand what they find
          to the loop.

However a term ends, its `Leader` is dropped with everything that it knew. The next term, of this
worker or of another, begins with what the store knows.

term lost  Another worker has been elected, as this one didn't renew its term in time: it was
           frozen, or couldn't reach the store.
error      The store is unavailable, or something failed that nobody foresaw. The worker resigns if
           it can, and is elected again like any other.
resigns    The term ends at once, and another worker can be elected without waiting for it to run
           out. A leader that can't be sure that all it, or a dead predecessor, has sent to
           Conductor has taken effect doesn't resign: its term runs out.

The fence. `Leadership.elect` returns a `Term`, and every method of the store that writes a decision
takes one: deciding without having been elected is a type error. In the same transaction the store
checks that the term's holder is still leader, and raises LeadershipLost if it isn't. So however
late a former leader wakes up, it writes nothing, and no task is given to two events. It can still
poll tasks from Conductor's queue, though, which hands each out only once. So it checks its term
before each poll, which doesn't leave once the term is no longer certain; a new leader searches the
index for what its predecessor may have polled, and decides nothing until a poll that the
predecessor sent can no longer take effect. Tasks that were polled but not stored are found as those
of a lost poll are.
"""
